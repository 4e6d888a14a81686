#include "arena.h"

#include <errno.h>
#include <string.h>

#include "headroom.h"
#include "platform.h"

#define PCN_SMALLEST_RESERVE (PCN_DATA_AT + (64u << 20))

uint64_t pcn_layout_stamp(void)
{
    const uint64_t parts[] = {
        PCN_LAYOUT_VERSION,       sizeof(struct pcn_head),   sizeof(struct pcn_slot),
        sizeof(struct pcn_block), sizeof(pthread_mutex_t),   PCN_MAX_SLOTS,
        PCN_MAX_BLOCKS,           PCN_CLASSES,               PCN_MAX_OBJECTS,
        PCN_MAX_HOLDS,            PCN_MAX_SPOTS,             sizeof(struct pcn_object),
        sizeof(struct pcn_hold),  sizeof(struct pcn_spot),
    };
    uint64_t stamp = 0xcbf29ce484222325u; /* FNV-1a, 64 bit */
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        stamp ^= parts[i];
        stamp *= 0x100000001b3u;
    }
    return stamp;
}

enum pcn_status pcn_arena_create(struct pcn_arena *arena, uint64_t reserve)
{
    memset(arena, 0, sizeof *arena);
    arena->fd = -1;
    uint64_t wanted = reserve;
    /* The program needs addresses, too. */
    if (reserve > pcn_address_limit() / 4)
        reserve = pcn_address_limit() / 4;
    if (reserve < PCN_SMALLEST_RESERVE)
        reserve = PCN_SMALLEST_RESERVE;
    reserve = (reserve + PCN_PAGE - 1) / PCN_PAGE * PCN_PAGE;
    void *base = NULL;
    int fd = -1;
    for (;;) {
        fd = pcn_memory_file("procession", reserve);
        if (fd >= 0) {
            base = pcn_map_shared(fd, reserve);
            if (base)
                break;
            int reason = errno;
            pcn_close(fd);
            errno = reason;
        } else if (errno != ENOMEM && errno != EFBIG && errno != EINVAL) {
            return PCN_NO_MEMORY;
        }
        if (reserve / 2 < PCN_SMALLEST_RESERVE)
            return PCN_NO_MEMORY;
        reserve = reserve / 2 / PCN_PAGE * PCN_PAGE;
    }
    struct pcn_head *head = base;
    int refused = pcn_reserve_pages(fd, 0, PCN_PAGE);
    if (!refused)
        refused = pcn_life_init(&head->slots_lock);
    if (refused) {
        pcn_unmap(base, reserve);
        pcn_close(fd);
        errno = refused;
        return PCN_NO_MEMORY;
    }
    arena->base = base;
    arena->fd = fd;
    arena->reserve = reserve;
    head->reserve = reserve;
    head->wanted = wanted;
    uint64_t addresses = reserve - PCN_DATA_AT, budget = pcn_default_budget();
    if (budget == 0 || budget > addresses)
        budget = addresses;
    pcn_store_relaxed64(&head->budget, budget);
    head->stamp = pcn_layout_stamp();
    head->magic = PCN_MAGIC;
    return PCN_OK;
}

/* Map the first `mapped` bytes of an arena (0: all of it). */
static enum pcn_status attach(struct pcn_arena *arena, int fd, uint64_t mapped,
                              void *(*map)(int, uint64_t))
{
    memset(arena, 0, sizeof *arena);
    arena->fd = -1;
    uint64_t size = pcn_file_size(fd);
    if (size < PCN_SMALLEST_RESERVE || pcn_file_used(fd) < PCN_PAGE)
        return PCN_REFUSED;
    if (mapped == 0)
        mapped = size;
    void *base = map(fd, mapped);
    if (!base)
        return PCN_NO_MEMORY;
    const struct pcn_head *head = base;
    if (head->magic != PCN_MAGIC || head->stamp != pcn_layout_stamp() ||
        head->reserve != size) {
        pcn_unmap(base, mapped);
        return PCN_REFUSED;
    }
    arena->base = base;
    arena->fd = fd;
    arena->reserve = mapped;
    return PCN_OK;
}

enum pcn_status pcn_arena_attach(struct pcn_arena *arena, int fd)
{
    return attach(arena, fd, 0, pcn_map_shared);
}

enum pcn_status pcn_arena_watch(struct pcn_arena *arena, int fd)
{
    return attach(arena, fd, PCN_DATA_AT, pcn_map_readonly);
}

void pcn_arena_detach(struct pcn_arena *arena)
{
    if (arena->base)
        pcn_unmap(arena->base, arena->reserve);
    if (arena->fd >= 0)
        pcn_close(arena->fd);
    memset(arena, 0, sizeof *arena);
    arena->fd = -1;
}
