/* What the baseline's server and clients share: addresses, the clock, messages, latencies. */
#pragma once
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 16, EVENTS = 256, BATCH = 64, LONGEST = 1 << 20, MOST = 20000 };
#define SECOND 1000000000LL

struct ping {
    uint64_t number;
    uint32_t sequence;
    uint16_t length, mark;
};

static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static inline double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static inline struct sockaddr_in address_of(const char *host, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &a.sin_addr);
    return a;
}

static inline struct ping ping_of(uint64_t number, uint32_t sequence) {
    return (struct ping){number, sequence, SIZE, 0xA55A};
}

static inline void die(const char *what) {
    perror(what);
    exit(2);
}
