"""Finding the files of a build: pages by their paths, pages by patterns, the newest file of a folder.

Every walk is bounded in entries and in time; one that was cut short says so.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from opsctl.facts.static import Page, PageCount

if TYPE_CHECKING:
    from pathlib import Path

MAX_ENTRIES = 50_000
MAX_EXAMPLES = 10
_SKIPPED = frozenset(("node_modules", "__pycache__", ".git", ".hg", ".svn"))
INDEX = "index.html"
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


def age_seconds(text: str) -> float | None:
    """Return the seconds of `30m`, `12h`, `7d`, `2w`; None where the text is empty. Pure."""
    return float(text[:-1]) * _SECONDS[text[-1]] if text else None


def is_pattern(page: str) -> bool:
    """Return whether a path stands for several pages. Pure."""
    return any(mark in page for mark in "*?[")


def files_for(page: str) -> tuple[str, ...]:
    """Return the files, relative to the root, of which one must be there for a page. Pure.

    `/about/` is about/index.html; `/about` may be a file of that name, about.html or a folder.
    """
    path = page.partition("?")[0].strip("/")
    if not path or page.endswith("/"):
        return (f"{path}/{INDEX}".lstrip("/"),)
    if "." in path.rpartition("/")[2]:
        return (path,)
    return (path, f"{path}.html", f"{path}/{INDEX}")


def look_at(root: Path, page: str) -> Page:
    """Return what the build holds of one page.

    Raises:
        PermissionError: it may not be looked at.
    """
    wanted = files_for(page)
    reason = f"{root / wanted[0]}: no such file"
    for name in wanted:
        path = root / name
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISDIR(found.st_mode):
            reason = f"{path} is a folder"
        elif not found.st_size:
            reason = f"{path} is empty"
        else:
            return Page(page=page, exists=True, changed_at=found.st_mtime, file=str(path))
    return Page(page=page, exists=False, file=str(root / wanted[0]), reason=reason[:300])


def count(root: Path, pattern: str, wanted: int) -> PageCount:
    """Return how many pages of a pattern the build holds; a folder counts by its index.html.

    Raises:
        PermissionError: a folder may not be listed.
    """
    matching = [root]
    entries = 0
    for part in [part for part in pattern.split("/") if part]:
        following: list[Path] = []
        for folder in matching:
            if not is_pattern(part):
                following.append(folder / part)
                continue
            try:
                names = [item.name for item in folder.iterdir()]
            except (FileNotFoundError, NotADirectoryError):
                continue
            entries += len(names)
            following += [folder / name for name in sorted(names) if fnmatchcase(name, part)]
            if entries > MAX_ENTRIES:
                break
        matching = following[:MAX_ENTRIES]
    found = 0
    without: list[str] = []
    for path in matching:
        kind = _kind(path)
        if kind == "folder":
            if _kind(path / INDEX) == "page":
                found += 1
            elif len(without) < MAX_EXAMPLES:
                without.append(f"{path.relative_to(root)}/"[:200])
        elif kind == "page" and not pattern.endswith("/"):
            found += 1
    return PageCount(pattern=pattern, found=found, wanted=wanted, without_index=without)


def _kind(path: Path) -> str:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if stat.S_ISDIR(found.st_mode):
        return "folder"
    return "page" if found.st_size else ""


@dataclass(frozen=True)
class Newest:
    """The newest file below some places; `complete` is False where not everything was seen."""

    changed_at: float | None = None
    file: str = ""
    complete: bool = True


def newest(places: list[Path], ends: float) -> Newest:
    """Return the newest regular file below some files and folders; links to folders are not followed.

    Args:
        places: files and folders; one that is missing does not count.
        ends: when to stop (monotonic seconds).
    """
    best, name, seen, complete = None, "", 0, True
    waiting: list[str] = []
    for path in places:
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            complete = False
            continue
        if not stat.S_ISREG(found.st_mode):
            waiting.append(str(path))
        elif best is None or found.st_mtime > best:
            best, name = found.st_mtime, str(path)
    while waiting:
        place = waiting.pop()
        if seen > MAX_ENTRIES or time.monotonic() > ends:
            complete = False
            break
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    seen += 1
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in _SKIPPED:
                            waiting.append(entry.path)
                    elif entry.is_file():
                        changed = entry.stat().st_mtime
                        if best is None or changed > best:
                            best, name = changed, entry.path
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            complete = False
    return Newest(best, name[:300], complete)
