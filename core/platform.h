/* Everything the core asks of the operating system (Linux, glibc): each call with what
 * must hold before and what holds after. No other core file makes a system call. */
#ifndef PCN_PLATFORM_H
#define PCN_PLATFORM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "atomics.h"

/* Monotonic time in nanoseconds; the same clock in all processes of the machine. */
uint64_t pcn_now_ns(void);

/* A sealed-name, close-on-exec, empty memory file. Returns its descriptor or -1 (errno).
 * It is never visible in /dev/shm and not bounded by the size of that file system. */
int pcn_memory_file(const char *name, uint64_t size);

/* Bytes of address space that this process may have (RLIMIT_AS); UINT64_MAX: no limit. */
uint64_t pcn_address_limit(void);

/* Map `size` bytes of `fd` shared, readable and writable, without reserving swap.
 * Returns NULL on failure (errno). */
void *pcn_map_shared(int fd, uint64_t size);

/* The same, for reading only: a store raises SIGSEGV. */
void *pcn_map_readonly(int fd, uint64_t size);

/* Map [offset, offset + size) of `fd`, from a page's begin, for writing, privately: stores stay
 * this process's. `fd` -1: empty memory. Returns NULL on failure (errno). */
void *pcn_map_private(int fd, uint64_t offset, uint64_t size);

/* Bytes of a page of this system. */
uint64_t pcn_page_size(void);

void pcn_unmap(void *base, uint64_t size);
void pcn_close(int fd);
uint64_t pcn_file_size(int fd);

/* Bytes of memory that the file's pages take now. */
uint64_t pcn_file_used(int fd);

/* Read a small file, as the kernel shows of itself, as a text of less than `room` bytes; false: it
 * can not be read. What does not fit is left out. */
bool pcn_read_text(const char *path, char *text, uint64_t room);

/* Make sure that the pages of [offset, offset + length) exist, so that touching them can
 * not raise SIGBUS. Returns 0, or the errno of the refusal (ENOMEM, ENOSPC). */
int pcn_reserve_pages(int fd, uint64_t offset, uint64_t length);

/* Give the pages of [offset, offset + length) back; they read as zero afterwards. */
void pcn_return_pages(int fd, uint64_t offset, uint64_t length);

/* Before so many bytes of shared memory are written: where they are not in this process's page table
 * yet, put them there at once, which costs half of what a fault for each page does. Their pages
 * exist. Nothing happens where the system does not offer it. */
void pcn_map_ahead(uint8_t *at, uint64_t length);

/* For less than this it does not pay to ask whether they are. */
#define PCN_LEAST_AHEAD (1u << 20)

enum pcn_slept { PCN_SLEPT_WOKEN, PCN_SLEPT_TIMEOUT, PCN_SLEPT_CHANGED, PCN_SLEPT_SIGNAL };

/* Sleep while *word == expected, at most `timeout_ns`. WOKEN: a waker chose us (or the
 * kernel woke us for no reason); CHANGED: the word differed already; SIGNAL: a signal
 * handler ran. */
enum pcn_slept pcn_futex_wait(pcn_atomic32 *word, uint32_t expected, uint64_t timeout_ns);

/* Wake at most `count` sleepers of `word`; returns how many were woken. */
int pcn_futex_wake(pcn_atomic32 *word, int count);

/* A robust, process-shared mutex in shared memory: the kernel marks it when the thread
 * that holds it ends. */
int pcn_life_init(pthread_mutex_t *life);

/* Try to take it. A mutex whose holder ended counts as taken and is usable again; what it
 * guards may be half done. Returns false while a living thread holds it. */
bool pcn_life_try(pthread_mutex_t *life);

/* The same, waiting for a living holder. */
void pcn_life_take(pthread_mutex_t *life);
void pcn_life_leave(pthread_mutex_t *life);

/* Does a living thread hold it now? By reading alone: who tries a mutex writes to it. */
bool pcn_life_is_held(const pthread_mutex_t *life);

/* May the calling thread run on more than one core? */
bool pcn_has_two_cores(void);

/* The core that this thread runs on, + 1; 0: not known. It may be another one right after. */
uint32_t pcn_core(void);

/* The calling thread is the first of its process (the one that lives as long as it). */
bool pcn_is_main_thread(void);

static inline void pcn_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

void pcn_yield(void);

/* Have `what` called with something not NULL when the calling thread ends. The same one each
 * time: one function a process. */
void pcn_at_thread_end(void (*what)(void *));

#endif
