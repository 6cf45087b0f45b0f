/* Preloaded into httpd, writes a line of nanoseconds for each child, from fork()
 * in the parent to the first wait for a connection in the child; and for each
 * view, from clone() of its builder to the builder's end: by CLONE_VFORK the
 * parent sleeps until then.
 *
 * strace would do without this, but stops a process at each clone, and so makes
 * those dear that have a helper.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static pid_t (*real_fork)(void);
static int (*real_clone)(int (*)(void *), void *, int, void *, ...);
static int (*real_epoll_wait)(int, struct epoll_event *, int, int);
static int (*real_accept4)(int, struct sockaddr *, socklen_t *, int);
static struct timespec forked;
static int out = -1, pending;

/* All is open and looked up before anybody is locked in. */
__attribute__((constructor)) static void prepare(void)
{
    const char *path = getenv("FORKTIME");

    real_fork = (pid_t (*)(void)) dlsym(RTLD_NEXT, "fork");
    real_clone = (int (*)(int (*)(void *), void *, int, void *, ...))
        dlsym(RTLD_NEXT, "clone");
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

/* Writes how long something has taken. */
static void report(const char *what, const struct timespec *began)
{
    struct timespec now;
    char line[48];
    int length;

    clock_gettime(CLOCK_MONOTONIC, &now);
    length = snprintf(line, sizeof(line), "%s %lld\n", what,
                      (now.tv_sec - began->tv_sec) * 1000000000LL
                      + now.tv_nsec - began->tv_nsec);
    if (write(out, line, length) != length) {
        abort();
    }
}

/* As mod_chroot calls it, without optional arguments. */
int clone(int (*function)(void *), void *stack, int flags, void *argument, ...)
{
    struct timespec began;
    int pid;

    clock_gettime(CLOCK_MONOTONIC, &began);
    pid = real_clone(function, stack, flags, argument);
    if (pid != -1 && (flags & CLONE_NEWNS)) {
        report("view", &began);
    }
    return pid;
}

/* A child that was forked and has not waited yet writes how long it took. */
static void ready(void)
{
    if (__atomic_exchange_n(&pending, 0, __ATOMIC_RELAXED)) {
        report("child", &forked);
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
