/* distribution/fault_proxy: for tests: a docker-registry of our own, and a proxy in front of it that does one thing
 * wrong on purpose and counts what it passes on. One request a connection; loopback only. */
#ifndef TUG_DISTRIBUTION_FAULT_PROXY_H
#define TUG_DISTRIBUTION_FAULT_PROXY_H

#include "store/testing.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* ---- sockets ---------------------------------------------------------------------------------- */

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static int listen_on(int *ret_port)
{
    struct sockaddr_in a = loopback(0);
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static int connect_to(int port)
{
    struct sockaddr_in a = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static int free_port(void)
{
    int port;
    close(listen_on(&port));
    return port;
}

static bool send_all(int fd, const void *data, size_t n)
{
    const char *p = data;
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* ---- the registry ----------------------------------------------------------------------------- */

struct registry_process {
    char folder[512];
    pid_t pid; /* 0: there is no docker-registry here */
    int port;
};

/* extra: more lines for its configuration. */
static struct registry_process registry_start(const char *extra)
{
    struct registry_process r = {.port = free_port()};
    char config[600], text[2048];
    testing_folder(r.folder);
    snprintf(config, sizeof config, "%s/config.yml", r.folder);
    snprintf(text, sizeof text,
             "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: %s/data\nhttp:\n"
             "  addr: 127.0.0.1:%d\n%s",
             r.folder, r.port, extra);
    testing_write(config, text, strlen(text));
    r.pid = fork();
    if (r.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        dup2(null, 2);
        execlp("docker-registry", "docker-registry", "serve", config, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 1000; i++) {
        int fd = connect_to(r.port);
        if (fd >= 0) {
            close(fd);
            return r;
        }
        if (waitpid(r.pid, NULL, WNOHANG) == r.pid)
            break;
        usleep(10000);
    }
    r.pid = 0;
    return r;
}

static void registry_stop(struct registry_process *r)
{
    if (r->pid > 0) {
        kill(r->pid, SIGKILL);
        waitpid(r->pid, NULL, 0);
    }
    testing_remove(r->folder);
}

/* ---- the proxy -------------------------------------------------------------------------------- */

enum fault_action {
    FAULT_NONE,
    FAULT_RESET,       /* RST after `at` bytes of the body */
    FAULT_END,         /* FIN after `at` bytes */
    FAULT_STALL,       /* nothing more after `at` bytes, until the client goes */
    FAULT_FLIP,        /* one bit of byte `at` of the body */
    FAULT_NO_RANGE,    /* the registry never sees Range */
    FAULT_WRONG_RANGE, /* the registry sees another Range */
    FAULT_STATUS,      /* `text` is the whole answer */
    FAULT_REPLACE,     /* `text` is the body of a good manifest without a digest header */
    FAULT_SLOW,        /* `at` bytes a second */
};

struct fault {
    enum fault_action action;
    const char *path;   /* part of the path that is hit; NULL: all */
    const char *method; /* NULL: GET */
    int times;          /* 0: always */
    size_t at;
    const char *text;
};

enum { PROXY_LOG = 256 };
struct proxy {
    int fd, port, upstream;
    pthread_t thread;
    pthread_mutex_t lock; /* all below */
    struct fault fault;
    int hits;
    size_t down_bytes, up_bytes; /* bodies of blobs to the client, and of uploads to the registry */
    char log[PROXY_LOG][160];    /* "GET /v2/… 100-": method, path, range */
    int n_log;
    int connections;
};

struct relay {
    struct proxy *proxy;
    int client, upstream;
    struct fault fault;
    char method[16], path[1024], range[64];
};

static char *find_header(char *head, const char *name)
{
    for (char *line = strstr(head, "\r\n"); line != NULL && line[2] != '\r'; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, strlen(name)) == 0 && line[2 + strlen(name)] == ':')
            return line + 2;
    return NULL;
}

static void drop_header(char *head, const char *name)
{
    char *line = find_header(head, name);
    if (line == NULL)
        return;
    char *end = strstr(line, "\r\n") + 2;
    memmove(line, end, strlen(end) + 1);
}

static size_t content_length(char *head)
{
    char *line = find_header(head, "Content-Length");
    return line != NULL ? (size_t)strtoull(line + 15, NULL, 10) : 0;
}

/* Reads to the empty line; what came behind it stays in rest. */
static bool read_head(int fd, char *head, size_t size, char *rest, size_t *ret_rest)
{
    size_t n = 0;
    while (n < size - 1) {
        ssize_t got = recv(fd, head + n, size - 1 - n, 0);
        if (got <= 0)
            return false;
        n += (size_t)got;
        head[n] = '\0';
        char *end = strstr(head, "\r\n\r\n");
        if (end == NULL)
            continue;
        end += 4;
        *ret_rest = n - (size_t)(end - head);
        memcpy(rest, end, *ret_rest);
        *end = '\0';
        return true;
    }
    return false;
}

static void add_header(char *head, const char *line)
{
    strcpy(head + strlen(head) - 2, line); /* head has room for it: see relay_run */
    strcat(head, "\r\n\r\n");
}

static bool relay_request(struct relay *r, char *head, const char *rest, size_t n)
{
    char buffer[65536];
    size_t left = content_length(head);
    drop_header(head, "Connection");
    drop_header(head, "Expect");
    if (r->fault.action == FAULT_NO_RANGE || r->fault.action == FAULT_WRONG_RANGE)
        drop_header(head, "Range");
    add_header(head, "Connection: close");
    if (r->fault.action == FAULT_WRONG_RANGE)
        add_header(head, "Range: bytes=7-");
    if (!send_all(r->upstream, head, strlen(head)) || !send_all(r->upstream, rest, n))
        return false;
    size_t sent = n;
    for (left -= n < left ? n : left; left > 0;) {
        if (strcmp(r->method, "GET") != 0 && r->fault.action == FAULT_RESET && sent >= r->fault.at)
            return false;
        ssize_t got = recv(r->client, buffer, left < sizeof buffer ? left : sizeof buffer, 0);
        if (got <= 0 || !send_all(r->upstream, buffer, (size_t)got))
            return false;
        left -= (size_t)got;
        sent += (size_t)got;
    }
    pthread_mutex_lock(&r->proxy->lock);
    r->proxy->up_bytes += sent;
    pthread_mutex_unlock(&r->proxy->lock);
    return true;
}

static void count_down(struct relay *r, size_t n)
{
    pthread_mutex_lock(&r->proxy->lock);
    if (strstr(r->path, "/blobs/") != NULL)
        r->proxy->down_bytes += n;
    pthread_mutex_unlock(&r->proxy->lock);
}

/* A piece of the answer's body; false: the fault ends it here. `at`: how many bytes went before. */
static bool relay_piece(struct relay *r, char *bytes, size_t n, size_t at)
{
    const struct fault *f = &r->fault;
    bool ends = f->action == FAULT_RESET || f->action == FAULT_END || f->action == FAULT_STALL;
    if (ends && at + n > f->at)
        n = f->at - at;
    if (f->action == FAULT_FLIP && at <= f->at && f->at < at + n)
        bytes[f->at - at] ^= 1;
    if (f->action == FAULT_SLOW)
        usleep((useconds_t)(n * 1000000 / f->at));
    if (!send_all(r->client, bytes, n))
        return false;
    count_down(r, n);
    if (ends && at + n >= f->at) {
        char byte;
        if (f->action == FAULT_STALL)
            while (recv(r->client, &byte, 1, 0) > 0)
                ;
        return false;
    }
    return true;
}

static bool relay_answer(struct relay *r)
{
    char head[65536 + 1024], bytes[65536];
    size_t n = 0, at = 0;
    if (!read_head(r->upstream, head, 65536, bytes, &n))
        return false;
    if (r->fault.action == FAULT_REPLACE) {
        char line[64];
        drop_header(head, "Content-Length");
        drop_header(head, "Docker-Content-Digest");
        drop_header(head, "Etag");
        snprintf(line, sizeof line, "Content-Length: %zu", strlen(r->fault.text));
        add_header(head, line);
        return send_all(r->client, head, strlen(head)) &&
               (strcmp(r->method, "HEAD") == 0 || send_all(r->client, r->fault.text, strlen(r->fault.text)));
    }
    if (!send_all(r->client, head, strlen(head)))
        return false;
    for (;;) {
        if (n > 0 && !relay_piece(r, bytes, n, at))
            return false;
        at += n;
        ssize_t got = recv(r->upstream, bytes, sizeof bytes, 0);
        if (got <= 0)
            return got == 0;
        n = (size_t)got;
    }
}

/* Is this request hit? Notes it in any case. */
static void relay_note(struct relay *r, char *head)
{
    struct proxy *p = r->proxy;
    char *range = find_header(head, "Range");
    sscanf(head, "%15s %1023s", r->method, r->path);
    if (range != NULL)
        sscanf(range, "Range: bytes=%63[^\r]", r->range);
    pthread_mutex_lock(&p->lock);
    if (p->n_log < PROXY_LOG)
        snprintf(p->log[p->n_log++], sizeof p->log[0], "%s %.110s %.30s", r->method, r->path, r->range);
    const struct fault *f = &p->fault;
    const char *method = f->method != NULL ? f->method : "GET";
    if (f->action != FAULT_NONE && (strcmp(method, "*") == 0 || strcmp(r->method, method) == 0) &&
        (f->path == NULL || strstr(r->path, f->path) != NULL) && (f->times == 0 || p->hits < f->times)) {
        p->hits++;
        r->fault = *f;
    }
    pthread_mutex_unlock(&p->lock);
}

static void relay_run(struct relay *r)
{
    char head[65536 + 1024], rest[65536];
    size_t n = 0;
    if (!read_head(r->client, head, 65536, rest, &n))
        return;
    relay_note(r, head);
    if (r->fault.action == FAULT_STATUS) {
        send_all(r->client, r->fault.text, strlen(r->fault.text));
        return;
    }
    r->upstream = connect_to(r->proxy->upstream);
    if (r->upstream < 0)
        return;
    bool whole = relay_request(r, head, rest, n) && relay_answer(r);
    if (!whole && r->fault.action == FAULT_RESET) {
        struct linger now = {.l_onoff = 1};
        setsockopt(r->client, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
}

static void *relay_main(void *arg)
{
    struct relay *r = arg;
    struct proxy *p = r->proxy;
    relay_run(r);
    if (r->upstream >= 0)
        close(r->upstream);
    shutdown(r->client, r->fault.action == FAULT_RESET ? SHUT_RD : SHUT_RDWR);
    close(r->client);
    free(r);
    pthread_mutex_lock(&p->lock);
    p->connections--;
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void *proxy_main(void *arg)
{
    struct proxy *p = arg;
    for (;;) {
        int client = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0)
            return NULL;
        struct relay *r = calloc(1, sizeof *r);
        *r = (struct relay){.proxy = p, .client = client, .upstream = -1};
        pthread_mutex_lock(&p->lock);
        p->connections++;
        pthread_mutex_unlock(&p->lock);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, relay_main, r), 0);
        pthread_detach(thread);
    }
}

static struct proxy *proxy_start(int upstream)
{
    struct proxy *p = calloc(1, sizeof *p);
    p->fd = listen_on(&p->port);
    p->upstream = upstream;
    pthread_mutex_init(&p->lock, NULL);
    assert_int_equal(pthread_create(&p->thread, NULL, proxy_main, p), 0);
    return p;
}

/* A new fault, and counts from zero. */
static void proxy_fault(struct proxy *p, struct fault fault)
{
    pthread_mutex_lock(&p->lock);
    p->fault = fault;
    p->hits = p->n_log = 0;
    p->down_bytes = p->up_bytes = 0;
    pthread_mutex_unlock(&p->lock);
}

static size_t proxy_down(struct proxy *p)
{
    pthread_mutex_lock(&p->lock);
    size_t n = p->down_bytes;
    pthread_mutex_unlock(&p->lock);
    return n;
}

/* How many requests had both in their line. */
static int proxy_count(struct proxy *p, const char *a, const char *b)
{
    int n = 0;
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < p->n_log; i++)
        n += strstr(p->log[i], a) != NULL && strstr(p->log[i], b) != NULL;
    pthread_mutex_unlock(&p->lock);
    return n;
}

static void proxy_stop(struct proxy *p)
{
    shutdown(p->fd, SHUT_RDWR);
    pthread_join(p->thread, NULL);
    close(p->fd);
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&p->lock);
        int left = p->connections;
        pthread_mutex_unlock(&p->lock);
        if (left == 0)
            break;
        usleep(10000);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

#endif
