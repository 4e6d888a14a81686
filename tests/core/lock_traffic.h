/* Work that is only right under mutual exclusion: shared by the process and thread tests. */
#ifndef PCN_TEST_LOCK_TRAFFIC_H
#define PCN_TEST_LOCK_TRAFFIC_H

#include "family.h"
#include "lock.h"

struct guarded {
    struct pcn_lock lock;
    uint64_t count; /* plain on purpose: TSan and the totals tell of a broken lock */
    uint64_t twin;
    pcn_atomic32 tries_won;
    pcn_atomic32 inherited;
};

static inline void lock_and_count(struct pcn_arena *arena, struct guarded *guarded, int rounds)
{
    for (int round = 0; round < rounds; round++) {
        CHECK_EQ(pcn_lock_acquire(arena, &guarded->lock, arena->me), PCN_OK);
        CHECK_EQ(guarded->count, guarded->twin);
        guarded->count++;
        guarded->twin++;
        CHECK_EQ(pcn_lock_owner(&guarded->lock), arena->me);
        pcn_lock_release(&guarded->lock);
    }
}

static inline void try_and_count(struct pcn_arena *arena, struct guarded *guarded, int rounds)
{
    for (int round = 0; round < rounds; round++) {
        enum pcn_status got = pcn_lock_try(arena, &guarded->lock, arena->me);
        if (got == PCN_BUSY)
            continue;
        CHECK_EQ(got, PCN_OK);
        guarded->count++;
        guarded->twin++;
        pcn_lock_release(&guarded->lock);
        pcn_add_relaxed32(&guarded->tries_won, 1);
    }
}

#endif
