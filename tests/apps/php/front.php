<?php
// What nginx asks php-fpm for in tests/tests/fastcgi.rs: /KIND/N.
declare(strict_types=1);

[, $kind, $number] = explode('/', explode('?', $_SERVER['REQUEST_URI'])[0]);
switch ($kind) {
    case 'missing':
        http_response_code(404);
        echo 'no';
        break;
    case 'fail':
        // PHP itself answers 500, and tells nginx why on the stream for errors.
        throw new RuntimeException("on purpose: $number");
    case 'big':
        // More than one record holds, and more than is captured.
        echo str_repeat('x', 200_000);
        break;
    case 'items':
        http_response_code(201);
        echo strlen(file_get_contents('php://input'));
        break;
    case 'moved':
        header('Location: /ok/1');
        break;
    default:
        echo 'ok';
}
