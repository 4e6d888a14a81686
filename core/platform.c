#define _GNU_SOURCE
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* MADV_POPULATE_WRITE, from Linux 5.14 on. */
#define PCN_POPULATE_WRITE 23

uint64_t pcn_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int pcn_memory_file(const char *name, uint64_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)size) != 0) {
        int reason = errno;
        close(fd);
        errno = reason;
        return -1;
    }
    return fd;
}

uint64_t pcn_address_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur;
}

void *pcn_map_shared(int fd, uint64_t size)
{
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    return base == MAP_FAILED ? NULL : base;
}

void *pcn_map_readonly(int fd, uint64_t size)
{
    void *base = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
    return base == MAP_FAILED ? NULL : base;
}

void *pcn_map_private(int fd, uint64_t offset, uint64_t size)
{
    int flags = MAP_PRIVATE | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, (off_t)offset);
    return base == MAP_FAILED ? NULL : base;
}

uint64_t pcn_page_size(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

void pcn_unmap(void *base, uint64_t size)
{
    munmap(base, size);
}

void pcn_close(int fd)
{
    close(fd);
}

uint64_t pcn_file_size(int fd)
{
    struct stat about;
    return fstat(fd, &about) == 0 ? (uint64_t)about.st_size : 0;
}

uint64_t pcn_file_used(int fd)
{
    struct stat about;
    return fstat(fd, &about) == 0 ? (uint64_t)about.st_blocks * 512u : 0;
}

bool pcn_read_text(const char *path, char *text, uint64_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    uint64_t length = 0;
    while (length + 1 < room) {
        ssize_t got = read(fd, text + length, (size_t)(room - 1 - length));
        if (got > 0)
            length += (uint64_t)got;
        else if (got == 0 || errno != EINTR)
            break;
    }
    close(fd);
    text[length] = 0;
    return length > 0;
}

int pcn_reserve_pages(int fd, uint64_t offset, uint64_t length)
{
    while (fallocate(fd, 0, (off_t)offset, (off_t)length) != 0) {
        if (errno != EINTR)
            return errno;
    }
    return 0;
}

void pcn_return_pages(int fd, uint64_t offset, uint64_t length)
{
    while (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                     (off_t)length) != 0 &&
           errno == EINTR)
        continue;
}

/* Whether the page at each end and the one in the middle are in this process's page table. */
static bool is_mapped(const uint8_t *at, uint64_t length)
{
    const uint8_t *samples[] = {at, at + length / 2, at + length - 1};
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    bool all = true;
    for (size_t i = 0; fd >= 0 && all && i < sizeof samples / sizeof *samples; i++) {
        uint64_t entry = 0; /* one for each page; its highest bit: present */
        uint64_t number = (uintptr_t)samples[i] / pcn_page_size();
        all = pread(fd, &entry, sizeof entry, (off_t)(number * sizeof entry)) !=
                  (ssize_t)sizeof entry ||
              entry >> 63;
    }
    if (fd >= 0)
        close(fd);
    return all;
}

void pcn_map_ahead(uint8_t *at, uint64_t length)
{
    if (length < PCN_LEAST_AHEAD || is_mapped(at, length))
        return;
    uint64_t before = (uintptr_t)at % pcn_page_size();
    madvise(at - before, length + before, PCN_POPULATE_WRITE);
}

enum pcn_slept pcn_futex_wait(pcn_atomic32 *word, uint32_t expected, uint64_t timeout_ns)
{
    struct timespec span = {.tv_sec = (time_t)(timeout_ns / 1000000000u),
                            .tv_nsec = (long)(timeout_ns % 1000000000u)};
    if (syscall(SYS_futex, (uint32_t *)word, FUTEX_WAIT, expected, &span, NULL, 0) == 0)
        return PCN_SLEPT_WOKEN;
    switch (errno) {
    case ETIMEDOUT:
        return PCN_SLEPT_TIMEOUT;
    case EINTR:
        return PCN_SLEPT_SIGNAL;
    default:
        return PCN_SLEPT_CHANGED;
    }
}

int pcn_futex_wake(pcn_atomic32 *word, int count)
{
    return (int)syscall(SYS_futex, (uint32_t *)word, FUTEX_WAKE, count, NULL, NULL, 0);
}

int pcn_life_init(pthread_mutex_t *life)
{
    pthread_mutexattr_t kind;
    int failed = pthread_mutexattr_init(&kind);
    if (failed)
        return failed;
    failed = pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    if (!failed)
        failed = pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    if (!failed)
        failed = pthread_mutex_init(life, &kind);
    pthread_mutexattr_destroy(&kind);
    return failed;
}

static bool taken(pthread_mutex_t *life, int got)
{
    if (got == EOWNERDEAD)
        pthread_mutex_consistent(life);
    return got == 0 || got == EOWNERDEAD;
}

bool pcn_life_try(pthread_mutex_t *life)
{
    return taken(life, pthread_mutex_trylock(life));
}

void pcn_life_take(pthread_mutex_t *life)
{
    taken(life, pthread_mutex_lock(life));
}

void pcn_life_leave(pthread_mutex_t *life)
{
    pthread_mutex_unlock(life);
}

bool pcn_life_is_held(const pthread_mutex_t *life)
{
    /* The word that a robust mutex shares with the kernel: the holder's thread id, and the mark
     * that the kernel puts there at the holder's end. */
    uint32_t word = pcn_load_relaxed32((const pcn_atomic32 *)(const void *)&life->__data.__lock);
    return (word & FUTEX_TID_MASK) != 0 && (word & FUTEX_OWNER_DIED) == 0;
}

bool pcn_has_two_cores(void)
{
    cpu_set_t cores;
    /* On failure there are more cores than the set holds. */
    return sched_getaffinity(0, sizeof cores, &cores) != 0 || CPU_COUNT(&cores) > 1;
}

uint32_t pcn_core(void)
{
    return (uint32_t)(sched_getcpu() + 1);
}

bool pcn_is_main_thread(void)
{
    return syscall(SYS_gettid) == getpid();
}

void pcn_yield(void)
{
    sched_yield();
}

static pthread_key_t thread_end_key;
static pthread_once_t thread_end_once = PTHREAD_ONCE_INIT;
static void (*at_thread_end)(void *);

static void make_thread_end_key(void)
{
    pthread_key_create(&thread_end_key, at_thread_end);
}

void pcn_at_thread_end(void (*what)(void *))
{
    at_thread_end = what;
    pthread_once(&thread_end_once, make_thread_end_key);
    pthread_setspecific(thread_end_key, &thread_end_key);
}
