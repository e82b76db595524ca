/* The echo server of the comparison: one epoll loop; run several on one port for more descriptors.
 * With "http" it answers each read like a web server and closes, for peers that speak nothing else. */
#include "common.h"

static char buffer[65536];
static const char page[] = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
static int http;

static int echo(int fd) {
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n > 0 && http) {
        n = write(fd, page, sizeof page - 1);
        return 0; /* the connection is closed, as the page says */
    }
    if (n > 0)
        return write(fd, buffer, n) == n;
    return n < 0 && errno == EAGAIN;
}

static void take(int epoll, int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (!echo(fd))
            close(fd);
        else
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int argc, char **argv) {
    if (argc < 3)
        return fprintf(stderr, "usage: server ADDRESS PORT [http]\n"), 2;
    http = argc > 3;
    struct sockaddr_in address = address_of(argv[1], atoi(argv[2]));
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 65535))
        die("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                take(epoll, listener);
            else if (!echo(fd))
                close(fd);
        }
    }
}
