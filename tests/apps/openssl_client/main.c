/* HTTPS by OpenSSL's functions, in the ways that libraries and servers use them.
 *
 *   openssl_client WAY PORT COUNT      gets /item-0 .. on one or more connections to 127.0.0.1
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BODY 400000

static int port;
static SSL_CTX *ctx;
static char request[BODY + 500];
static char answer[65536];

static void die(const char *what) {
  perror(what);
  ERR_print_errors_fp(stderr);
  exit(1);
}

static int dial(int nonblocking) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, (struct sockaddr *)&to, sizeof to)) die("connect");
  if (nonblocking) {
    int small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    fcntl(fd, F_SETFL, O_NONBLOCK);
  }
  return fd;
}

static int ask(int number, int body) {
  int n = sprintf(request, "GET /item-%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: %d\r\n\r\n", number, port, body);
  memset(request + n, 'x', body);
  return n + body;
}

/* nginx sends "inside" as the last bytes of an answer. */
static int done(int have) { return have >= 6 && !memcmp(answer + have - 6, "inside", 6); }

static void wait_io(SSL *ssl, int result) {
  struct pollfd p = {.fd = SSL_get_fd(ssl)};
  switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ: p.events = POLLIN; break;
    case SSL_ERROR_WANT_WRITE: p.events = POLLOUT; break;
    default: die("ssl");
  }
  poll(&p, 1, 10000);
}

static void read_answer(SSL *ssl) {
  for (int have = 0; !done(have);) {
    int n = SSL_read(ssl, answer + have, sizeof answer - have);
    if (n > 0) have += n;
    else wait_io(ssl, n);
  }
}

static void plain(SSL *ssl, int number, int body) {
  int size = ask(number, body), n;
  while ((n = SSL_write(ssl, request, size)) <= 0) wait_io(ssl, n);
  read_answer(ssl);
}

static void with_ex(SSL *ssl, int number) {
  size_t moved, have = 0, size = ask(number, 0);
  if (!SSL_write_ex(ssl, request, size, &moved) || moved != size) die("write_ex");
  while (!done(have)) {
    if (!SSL_read_ex(ssl, answer + have, sizeof answer - have, &moved)) die("read_ex");
    have += moved;
  }
}

static void with_peek(SSL *ssl, int number) {
  char some[100];
  size_t moved;
  SSL_write(ssl, request, ask(number, 0));
  for (int have = 0; !done(have);) {
    if (SSL_peek(ssl, some, 20) <= 0 || !SSL_peek_ex(ssl, some, sizeof some, &moved)) die("peek");
    int n = SSL_read(ssl, answer + have, 50);
    if (n <= 0) die("read");
    have += n;
  }
}

static SSL *open_ssl(int nonblocking) {
  SSL *ssl = SSL_new(ctx);
  int n;
  SSL_set_fd(ssl, dial(nonblocking));
  while ((n = SSL_connect(ssl)) != 1) wait_io(ssl, n);
  return ssl;
}

static void hang_up(SSL *ssl) {
  int fd = SSL_get_fd(ssl);
  SSL_shutdown(ssl);
  close(fd);
}

/* The program carries the ciphertext, and uses one object for one connection after another. */
static void pump(SSL *ssl, int fd, int wait) {
  char bytes[20000];
  int n;
  while ((n = BIO_read(SSL_get_wbio(ssl), bytes, sizeof bytes)) > 0)
    if (send(fd, bytes, n, 0) != n) die("send");
  if (!wait) return;
  if ((n = recv(fd, bytes, sizeof bytes, 0)) <= 0) die("recv");
  BIO_write(SSL_get_rbio(ssl), bytes, n);
}

static void with_bios(SSL *ssl, int number) {
  int fd = dial(0), n, have = 0;
  SSL_clear(ssl);
  SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(ssl);
  while (SSL_do_handshake(ssl) != 1) pump(ssl, fd, 1);
  if (SSL_write(ssl, request, ask(number, 0)) <= 0) die("write");
  pump(ssl, fd, 0);
  while (!done(have)) {
    if ((n = SSL_read(ssl, answer + have, sizeof answer - have)) > 0) have += n;
    else pump(ssl, fd, 1);
  }
  close(fd);
}

/* The request is in the first flight of a resumed session. */
static SSL_SESSION *session;
static void with_early_data(int number) {
  size_t moved, size = ask(number, 0);
  SSL *ssl = SSL_new(ctx);
  SSL_set_fd(ssl, dial(0));
  SSL_set_session(ssl, session);
  if (SSL_SESSION_get_max_early_data(session) == 0) die("the server takes no early data");
  if (!SSL_write_early_data(ssl, request, size, &moved) || moved != size) die("early");
  if (SSL_connect(ssl) != 1) die("connect");
  if (SSL_get_early_data_status(ssl) != SSL_EARLY_DATA_ACCEPTED) die("not accepted");
  read_answer(ssl);
  SSL_SESSION_free(session);
  session = SSL_get1_session(ssl);
  hang_up(ssl);
  SSL_free(ssl);
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  const char *way = argv[1];
  int count = atoi(argv[3]), number = 0;
  port = atoi(argv[2]);
  ctx = SSL_CTX_new(TLS_client_method());
  usleep(300000); /* Larger programs have not begun by then. */
#define WAY(name) (!strcmp(way, name))
  if (WAY("read-write")) {
    for (SSL *ssl = open_ssl(0); number < count; number++) plain(ssl, number, 0);
  } else if (WAY("ex")) {
    for (SSL *ssl = open_ssl(0); number < count; number++) with_ex(ssl, number);
  } else if (WAY("peek")) {
    for (SSL *ssl = open_ssl(0); number < count; number++) with_peek(ssl, number);
  } else if (WAY("nonblocking")) { /* writes that have to be tried again with the same buffer, and reads that wait */
    for (SSL *ssl = open_ssl(1); number < count; number++) plain(ssl, number, BODY);
  } else if (WAY("key-update")) {
    for (SSL *ssl = open_ssl(0); number < count; number++) {
      if (number % 3 == 0 && !SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED)) die("key update");
      plain(ssl, number, 0);
    }
  } else if (WAY("clear")) { /* one object, a connection a request */
    for (SSL *ssl = SSL_new(ctx); number < count; number++) {
      SSL_set_fd(ssl, dial(0));
      if (SSL_connect(ssl) != 1) die("connect");
      plain(ssl, number, 0);
      hang_up(ssl);
      SSL_clear(ssl);
    }
  } else if (WAY("free")) { /* an object a request, at the address of the one before */
    for (; number < count; number++) {
      SSL *ssl = open_ssl(0);
      plain(ssl, number, 0);
      hang_up(ssl);
      SSL_free(ssl);
    }
  } else if (WAY("bios")) {
    for (SSL *ssl = SSL_new(ctx); number < count; number++) with_bios(ssl, number);
  } else if (WAY("early-data")) {
    SSL *ssl = open_ssl(0);
    plain(ssl, number++, 0);
    session = SSL_get1_session(ssl);
    hang_up(ssl);
    while (number < count) with_early_data(number++);
  } else if (WAY("fork")) { /* the child goes on with what the parent has begun */
    SSL *ssl = open_ssl(0);
    while (number < count / 2) plain(ssl, number++, 0);
    int status = 0;
    if (fork() == 0) {
      while (number < count) plain(ssl, number++, 0);
      _exit(0);
    }
    wait(&status);
    return status != 0;
  } else {
    return 2;
  }
  return 0;
}
