<?php
// A small stand-in for the Laravel administration: reads .env, asks the database, logs as Laravel does.
$root = dirname(__DIR__);
function fail(string $root, string $words): void {
    $line = '[' . gmdate('Y-m-d H:i:s') . "] production.ERROR: $words {\"exception\":\"[object] (PDOException)\"}\n";
    @file_put_contents("$root/storage/logs/laravel.log", $line, FILE_APPEND);
    http_response_code(500);
    exit('Server Error');
}
$env = @parse_ini_file("$root/.env", false, INI_SCANNER_RAW) ?: [];
if (empty($env['APP_KEY'])) {
    fail($root, 'No application encryption key has been specified.');
}
if (@file_put_contents("$root/storage/framework/sessions/lab", (string) time()) === false) {
    fail($root, "file_put_contents($root/storage/framework/sessions/lab): Failed to open stream: Permission denied");
}
try {
    $at = "pgsql:host={$env['DB_HOST']};port={$env['DB_PORT']};dbname={$env['DB_DATABASE']};connect_timeout=2";
    $database = new PDO($at, $env['DB_USERNAME'], $env['DB_PASSWORD'], [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
    $count = $database->query('select count(*) from menu_items')->fetchColumn();
} catch (PDOException $error) {
    fail($root, str_replace("\n", ' ', $error->getMessage()));
}
echo "<!doctype html><title>Vezuroll</title><p>$count";
