"""What /proc/meminfo says beyond the few fields that checks judge.

The names are node_exporter's rule: the file's own, `(x)` as `_x`, `_bytes` where it says kB.
"""

from __future__ import annotations

from opsctl.facts.base import Annotated, Metric, Record, gauge


def _memory(name: str, help: str) -> Metric:
    return gauge(f"node_memory_{name}", help, unit="bytes" if name.endswith("_bytes") else "")


class HostMemory(Record, frozen=True, kw_only=True):
    """Where the memory is. A field that this kernel does not have is None."""

    active: Annotated[int | None, _memory("Active_bytes", "Memory used of late")] = None
    active_anonymous: Annotated[
        int | None, _memory("Active_anon_bytes", "Memory of processes, used of late")
    ] = None
    active_file: Annotated[int | None, _memory("Active_file_bytes", "Page cache, used of late")] = None
    anonymous_huge_pages: Annotated[
        int | None, _memory("AnonHugePages_bytes", "Memory of processes in huge pages")
    ] = None
    anonymous_pages: Annotated[
        int | None, _memory("AnonPages_bytes", "Memory of processes that no file backs")
    ] = None
    balloon: Annotated[
        int | None, _memory("Balloon_bytes", "Memory handed back to the host of a virtual machine")
    ] = None
    bounce: Annotated[int | None, _memory("Bounce_bytes", "Bounce buffers of block devices")] = None
    cma_free: Annotated[
        int | None, _memory("CmaFree_bytes", "Unused memory of the contiguous memory allocator")
    ] = None
    cma_total: Annotated[
        int | None, _memory("CmaTotal_bytes", "Memory of the contiguous memory allocator")
    ] = None
    commit_limit: Annotated[
        int | None, _memory("CommitLimit_bytes", "Memory that may be promised to processes")
    ] = None
    committed: Annotated[
        int | None, _memory("Committed_AS_bytes", "Memory that is promised to processes")
    ] = None
    direct_map_1g: Annotated[
        int | None, _memory("DirectMap1G_bytes", "Memory that the kernel maps in pages of 1 GiB")
    ] = None
    direct_map_2m: Annotated[
        int | None, _memory("DirectMap2M_bytes", "Memory that the kernel maps in pages of 2 MiB")
    ] = None
    direct_map_4k: Annotated[
        int | None, _memory("DirectMap4k_bytes", "Memory that the kernel maps in pages of 4 KiB")
    ] = None
    dirty: Annotated[int | None, _memory("Dirty_bytes", "Memory waiting to be written to disk")] = None
    file_huge_pages: Annotated[int | None, _memory("FileHugePages_bytes", "Page cache in huge pages")] = None
    file_pmd_mapped: Annotated[
        int | None, _memory("FilePmdMapped_bytes", "Page cache mapped in huge pages")
    ] = None
    hardware_corrupted: Annotated[
        int | None, _memory("HardwareCorrupted_bytes", "Memory that the hardware reported as broken")
    ] = None
    huge_pages_free: Annotated[int | None, _memory("HugePages_Free", "Unused huge pages")] = None
    huge_pages_reserved: Annotated[
        int | None, _memory("HugePages_Rsvd", "Huge pages promised and not yet used")
    ] = None
    huge_pages_surplus: Annotated[
        int | None, _memory("HugePages_Surp", "Huge pages beyond those set aside")
    ] = None
    huge_pages_total: Annotated[int | None, _memory("HugePages_Total", "Huge pages set aside")] = None
    huge_page_size: Annotated[int | None, _memory("Hugepagesize_bytes", "Size of a huge page")] = None
    huge_pages_all_sizes: Annotated[
        int | None, _memory("Hugetlb_bytes", "Memory in huge pages of every size")
    ] = None
    inactive: Annotated[int | None, _memory("Inactive_bytes", "Memory not used of late")] = None
    inactive_anonymous: Annotated[
        int | None, _memory("Inactive_anon_bytes", "Memory of processes, not used of late")
    ] = None
    inactive_file: Annotated[int | None, _memory("Inactive_file_bytes", "Page cache, not used of late")] = (
        None
    )
    kernel_reclaimable: Annotated[
        int | None, _memory("KReclaimable_bytes", "Memory of the kernel that it can give back")
    ] = None
    kernel_stack: Annotated[int | None, _memory("KernelStack_bytes", "Stacks of the kernel's threads")] = None
    mapped: Annotated[int | None, _memory("Mapped_bytes", "Files mapped into processes")] = None
    locked: Annotated[int | None, _memory("Mlocked_bytes", "Memory that processes locked")] = None
    nfs_unstable: Annotated[
        int | None, _memory("NFS_Unstable_bytes", "Pages sent to an NFS server and not yet safe there")
    ] = None
    page_tables: Annotated[int | None, _memory("PageTables_bytes", "Page tables")] = None
    per_cpu: Annotated[int | None, _memory("Percpu_bytes", "Memory of the allocator that works per core")] = (
        None
    )
    slab_reclaimable: Annotated[
        int | None, _memory("SReclaimable_bytes", "Kernel caches that can be given back")
    ] = None
    slab_unreclaimable: Annotated[
        int | None, _memory("SUnreclaim_bytes", "Kernel caches that cannot be given back")
    ] = None
    secondary_page_tables: Annotated[
        int | None, _memory("SecPageTables_bytes", "Page tables of virtual machines")
    ] = None
    shared: Annotated[int | None, _memory("Shmem_bytes", "Shared memory and memory file systems")] = None
    shared_huge_pages: Annotated[
        int | None, _memory("ShmemHugePages_bytes", "Shared memory in huge pages")
    ] = None
    shared_pmd_mapped: Annotated[
        int | None, _memory("ShmemPmdMapped_bytes", "Shared memory mapped in huge pages")
    ] = None
    slab: Annotated[int | None, _memory("Slab_bytes", "Kernel caches")] = None
    swap_cached: Annotated[int | None, _memory("SwapCached_bytes", "Memory that is in swap as well")] = None
    unaccepted: Annotated[
        int | None, _memory("Unaccepted_bytes", "Memory that a confidential guest has not accepted yet")
    ] = None
    unevictable: Annotated[
        int | None, _memory("Unevictable_bytes", "Memory that cannot be dropped or swapped")
    ] = None
    vmalloc_chunk: Annotated[
        int | None, _memory("VmallocChunk_bytes", "Largest free piece of the vmalloc area")
    ] = None
    vmalloc_total: Annotated[int | None, _memory("VmallocTotal_bytes", "The vmalloc area")] = None
    vmalloc_used: Annotated[int | None, _memory("VmallocUsed_bytes", "Of the vmalloc area, what is used")] = (
        None
    )
    writeback: Annotated[int | None, _memory("Writeback_bytes", "Memory being written to disk")] = None
    writeback_temporary: Annotated[
        int | None, _memory("WritebackTmp_bytes", "Memory being written by FUSE")
    ] = None
    zswap: Annotated[int | None, _memory("Zswap_bytes", "Memory that compressed swap takes")] = None
    zswapped: Annotated[
        int | None, _memory("Zswapped_bytes", "What is in compressed swap, in its own size")
    ] = None
