<?php
// Ground truth on php-fpm: curl with a handle a request. See tests/src/truth.
declare(strict_types=1);

[, $pattern, $id] = explode('/', $_SERVER['DOCUMENT_URI']);
$upstream = $_SERVER['UPSTREAM'];
$curl = curl_init();
curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);

$call = function (int $number) use ($curl, $upstream, $id): void {
    curl_setopt($curl, CURLOPT_URL, "$upstream/up/$id/$number");
    if (curl_exec($curl) === false) {
        http_response_code(500);
    }
};
$pause = fn () => usleep(random_int(0, 5000));

switch ($pattern) {
    case 'seq':
        $call(1);
        $call(2);
        break;
    case 'pause':
        $pause();
        $call(1);
        $pause();
        $call(2);
        $pause();
        break;
    case 'fan':
        $multi = curl_multi_init();
        foreach ([1, 2] as $number) {
            $handle = curl_init("$upstream/up/$id/$number");
            curl_setopt($handle, CURLOPT_RETURNTRANSFER, true);
            curl_multi_add_handle($multi, $handle);
        }
        do {
            curl_multi_exec($multi, $running);
            curl_multi_select($multi);
        } while ($running > 0);
        $call(3);
        break;
}
echo 'ok';
