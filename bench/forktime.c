/* Preloaded into httpd: from fork() in the parent to the first wait for a
 * connection in the child, a line of nanoseconds for each child.
 *
 * strace would do without this, but stops a process at each clone, and so makes
 * those dear that have a helper.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static pid_t (*real_fork)(void);
static int (*real_epoll_wait)(int, struct epoll_event *, int, int);
static int (*real_accept4)(int, struct sockaddr *, socklen_t *, int);
static struct timespec forked;
static int out = -1, pending;

/* All is open and looked up before anybody is locked in. */
__attribute__((constructor)) static void prepare(void)
{
    const char *path = getenv("FORKTIME");

    real_fork = (pid_t (*)(void)) dlsym(RTLD_NEXT, "fork");
    real_epoll_wait = (int (*)(int, struct epoll_event *, int, int))
        dlsym(RTLD_NEXT, "epoll_wait");
    real_accept4 = (int (*)(int, struct sockaddr *, socklen_t *, int))
        dlsym(RTLD_NEXT, "accept4");
    if (path != NULL) {
        out = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    }
}

pid_t fork(void)
{
    struct timespec now;
    pid_t pid;

    clock_gettime(CLOCK_MONOTONIC, &now);
    pid = real_fork();
    if (pid == 0) {
        forked = now;
        pending = 1;
    }
    return pid;
}

/* A child that was forked and has not waited yet writes how long it took. */
static void ready(void)
{
    struct timespec now;
    char line[32];
    int length;

    if (__atomic_exchange_n(&pending, 0, __ATOMIC_RELAXED)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        length = snprintf(line, sizeof(line), "%lld\n",
                          (now.tv_sec - forked.tv_sec) * 1000000000LL
                          + now.tv_nsec - forked.tv_nsec);
        if (write(out, line, length) != length) {
            abort();
        }
    }
}

int epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
    ready();
    return real_epoll_wait(fd, events, count, timeout);
}

/* What worker calls when it listens on one port. */
int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    ready();
    return real_accept4(fd, address, length, flags);
}
