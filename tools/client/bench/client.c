/* The baseline: what the load client does, in C. `epoll` is the plain state machine, `sweep` the load client's
 * own design, `hold` one verified ping a second each. Every byte is compared; any trouble ends the program. */
#include "common.h"

static struct sockaddr_in target, source;
static int epoll, with_source;
static uint32_t *latencies;
static int64_t started_at[MOST], due_at[MOST];
static uint32_t number_of[MOST], sequence_of[MOST];
static char state_of[MOST];

enum { FREE, CONNECTING, REPLYING, HELD };

static void watch(int fd, uint32_t events, int how) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, how, fd, &event))
        die("epoll_ctl");
}

static void record(int64_t nanoseconds) {
    int64_t us = nanoseconds / 1000;
    latencies[us < LONGEST ? us : LONGEST - 1]++;
}

static void print_latencies(void) {
    const char *comma = "";
    printf("\"latencies\": [");
    for (int i = 0; i < LONGEST; i++)
        if (latencies[i]) {
            printf("%s[%d, %u]", comma, i, latencies[i]);
            comma = ", ";
        }
    printf("]}\n");
}

static int start(uint32_t number) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || fd >= MOST)
        die("socket");
    if (with_source) {
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(fd, (void *)&source, sizeof source))
            die("bind");
    }
    number_of[fd] = number;
    sequence_of[fd] = 0;
    started_at[fd] = now_ns();
    if (connect(fd, (void *)&target, sizeof target) && errno != EINPROGRESS)
        die("connect");
    return fd;
}

static int send_ping(int fd) {
    struct ping ping = ping_of(number_of[fd], sequence_of[fd]);
    if (send(fd, &ping, SIZE, MSG_NOSIGNAL) == SIZE)
        return 1;
    if (errno != EAGAIN)
        die("send");
    return 0;
}

/* Return 1 when the whole right answer is there, 0 when nothing is. */
static int check(int fd) {
    struct ping expected = ping_of(number_of[fd], sequence_of[fd]);
    char answer[SIZE + 1];
    ssize_t n = recv(fd, answer, sizeof answer, 0);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n != SIZE || memcmp(answer, &expected, SIZE))
        die("answer");
    record(now_ns() - started_at[fd]);
    return 1;
}

static void open_plain(uint32_t number) {
    int fd = start(number);
    state_of[fd] = CONNECTING;
    watch(fd, EPOLLOUT, EPOLL_CTL_ADD);
}

/* Move a connection on; return 1 when its first ping has come back. */
static int advance(int fd) {
    if (state_of[fd] == CONNECTING) {
        if (send_ping(fd)) {
            state_of[fd] = REPLYING;
            watch(fd, EPOLLIN, EPOLL_CTL_MOD);
        }
        return 0;
    }
    return check(fd);
}

static uint64_t churn_epoll(int concurrency, int64_t until) {
    struct epoll_event events[EVENTS];
    uint64_t done = 0;
    for (int i = 0; i < concurrency; i++)
        open_plain(i);
    for (int alive = concurrency; alive;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (!advance(events[i].data.fd))
                continue;
            close(events[i].data.fd);
            done++;
            if (now_ns() < until)
                open_plain(done + concurrency);
            else
                alive--;
        }
    }
    return done;
}

/* Follow the stragglers; return how many have ended. */
static int stragglers(int timeout) {
    struct epoll_event events[EVENTS];
    int ended = 0, count = epoll_wait(epoll, events, EVENTS, timeout);
    for (int i = 0; i < count; i++) {
        int fd = events[i].data.fd;
        if (state_of[fd] == CONNECTING) {
            if (send_ping(fd))
                state_of[fd] = REPLYING;
        } else if (check(fd)) {
            close(fd);
            ended++;
        }
    }
    return ended;
}

static uint64_t churn_sweep(int concurrency, int64_t until) {
    int *opened = calloc(concurrency, sizeof *opened), pending = 0;
    uint64_t done = 0, number = 0;
    do {
        int room = now_ns() < until ? concurrency - pending : 0, count = 0;
        for (int i = 0; i < room; i++) {
            int fd = start(number++);
            state_of[fd] = send_ping(fd) ? REPLYING : CONNECTING;
            opened[count++] = fd;
        }
        for (int i = 0; i < count; i++) {
            if (state_of[opened[i]] == REPLYING && check(opened[i])) {
                close(opened[i]);
                done++;
            } else {
                uint32_t connected = state_of[opened[i]] == CONNECTING ? EPOLLOUT : 0;
                watch(opened[i], EPOLLIN | EPOLLET | connected, EPOLL_CTL_ADD);
                pending++;
            }
        }
        if (pending) {
            int ended = stragglers(pending < concurrency && now_ns() < until ? 0 : 100);
            pending -= ended;
            done += ended;
        }
    } while (pending || now_ns() < until);
    return done;
}

static int hold_open(int *ring, int connections, int concurrency) {
    struct epoll_event events[EVENTS];
    int opened = 0, proven = 0;
    while (proven < connections) {
        for (; opened < connections && opened - proven < concurrency; opened++)
            open_plain(opened);
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (!advance(fd))
                continue;
            watch(fd, EPOLLIN | EPOLLET, EPOLL_CTL_MOD);
            state_of[fd] = HELD;
            ring[number_of[fd]] = fd;
            proven++;
        }
    }
    return proven;
}

struct pings {
    uint64_t sent, ok, skipped, late;
};

static void send_due(const int *ring, int connections, int64_t begin, int64_t *turn, struct pings *pings) {
    int64_t due = (now_ns() - begin) * connections / SECOND + 1;
    for (int sent = 0; *turn < due && sent < BATCH; ++*turn) {
        int fd = ring[*turn % connections];
        if (state_of[fd] == REPLYING) {
            pings->skipped++;
            continue;
        }
        sequence_of[fd]++;
        due_at[fd] = begin + *turn * SECOND / connections;
        started_at[fd] = now_ns();
        pings->late += started_at[fd] - due_at[fd] > SECOND / 100;
        state_of[fd] = REPLYING;
        if (!send_ping(fd))
            die("send");
        pings->sent++;
        sent++;
    }
}

static struct pings hold(const int *ring, int connections, int64_t begin, int64_t until) {
    struct epoll_event events[EVENTS];
    struct pings pings = {0};
    int64_t turn = 0;
    while (now_ns() < until || pings.ok < pings.sent) {
        if (now_ns() < until)
            send_due(ring, connections, begin, &turn, &pings);
        int64_t rest = (begin + turn * SECOND / connections - now_ns() + 999999) / 1000000;
        int count = epoll_wait(epoll, events, EVENTS, rest > 0 ? (rest < 100 ? rest : 100) : 0);
        for (int i = 0; i < count; i++)
            if (check(events[i].data.fd)) {
                state_of[events[i].data.fd] = HELD;
                pings.ok++;
            }
    }
    return pings;
}

static void run_hold(int connections, int concurrency, double seconds) {
    int *ring = calloc(connections, sizeof *ring);
    int64_t begin = now_ns();
    double cpu, before = cpu_seconds();
    hold_open(ring, connections, concurrency);
    int64_t ready = now_ns();
    cpu = cpu_seconds();
    memset(latencies, 0, LONGEST * sizeof *latencies);
    struct pings pings = hold(ring, connections, ready, ready + (int64_t)(seconds * SECOND));
    printf("{\"setup\": %f, \"setup_cpu\": %f, \"cpu\": %f, \"done\": %lu, \"sent\": %lu, \"skipped\": %lu, \"late\": %lu, ",
           (ready - begin) / 1e9, cpu - before, cpu_seconds() - cpu, pings.ok, pings.sent, pings.skipped, pings.late);
    print_latencies();
}

int main(int argc, char **argv) {
    if (argc < 6)
        return fprintf(stderr, "usage: client epoll|sweep|hold ADDRESS PORT CONCURRENCY SECONDS [N [SOURCE]]\n"), 2;
    int concurrency = atoi(argv[4]);
    double seconds = atof(argv[5]);
    target = address_of(argv[2], atoi(argv[3]));
    if ((with_source = argc > 7))
        source = address_of(argv[7], 0);
    latencies = calloc(LONGEST, sizeof *latencies);
    epoll = epoll_create1(0);
    if (!strcmp(argv[1], "hold") && argc > 6)
        return run_hold(atoi(argv[6]), concurrency, seconds), 0;
    int64_t until = now_ns() + (int64_t)(seconds * SECOND);
    double cpu = cpu_seconds();
    uint64_t done = strcmp(argv[1], "sweep") ? churn_epoll(concurrency, until) : churn_sweep(concurrency, until);
    printf("{\"cpu\": %f, \"done\": %lu, ", cpu_seconds() - cpu, done);
    print_latencies();
}
