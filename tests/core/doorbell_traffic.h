/* Two sides that wake each other: shared by the process and thread tests. A lost wake-up
 * shows as a sleep that lasts FAMILY_PATIENCE_NS. */
#ifndef PCN_TEST_DOORBELL_TRAFFIC_H
#define PCN_TEST_DOORBELL_TRAFFIC_H

#include "doorbell.h"
#include "family.h"

struct table {
    struct pcn_doorbell bells[2];
    pcn_atomic32 turns[2]; /* [side]: how many balls came over to that side */
    uint64_t ball;         /* plain: TSan sees whether a wake-up orders memory */
};

static inline void await_turn(struct table *table, int side, uint32_t turn, bool spin)
{
    struct pcn_doorbell *bell = &table->bells[side];
    for (int look = 0; spin && look < 50; look++) {
        if (pcn_load_acquire32(&table->turns[side]) >= turn)
            return;
        pcn_relax();
    }
    while (pcn_load_acquire32(&table->turns[side]) < turn) {
        uint32_t ticket = pcn_doorbell_arm(bell);
        if (pcn_load_acquire32(&table->turns[side]) >= turn)
            return;
        CHECK(pcn_doorbell_sleep(bell, ticket, FAMILY_PATIENCE_NS) != PCN_SLEPT_TIMEOUT);
    }
}

static inline void send_turn(struct table *table, int side, uint32_t turn)
{
    pcn_store_release32(&table->turns[side], turn);
    pcn_doorbell_ring(&table->bells[side]);
}

static inline void play(struct table *table, int side, uint32_t rounds, bool spin)
{
    for (uint32_t turn = 1; turn <= rounds; turn++) {
        if (side == 0) {
            table->ball++;
            send_turn(table, 1, turn);
            await_turn(table, 0, turn, spin);
        } else {
            await_turn(table, 1, turn, spin);
            table->ball++;
            send_turn(table, 0, turn);
        }
        CHECK(side == 1 || table->ball == 2ull * turn);
    }
}

/* Many sleepers on one bell, one wake per ring, each woken one wakes the next if there is
 * more: the rule of the work bell. Bursts are separated, so that a wake-up lost in one
 * leaves its items lying and the maker asleep for good. */
struct bench {
    struct pcn_doorbell work, done;
    pcn_atomic32 items;    /* waiting */
    pcn_atomic32 finished; /* in all */
    pcn_atomic32 closed;
};

static inline bool take_item(struct bench *bench)
{
    uint32_t seen = pcn_load_relaxed32(&bench->items);
    while (seen > 0) {
        if (pcn_cas_acquire32(&bench->items, &seen, seen - 1)) {
            if (seen > 1)
                pcn_doorbell_ring(&bench->work);
            return true;
        }
    }
    return false;
}

static inline void work_at(struct bench *bench)
{
    for (;;) {
        while (take_item(bench)) {
            pcn_add_relaxed32(&bench->finished, 1);
            pcn_doorbell_ring(&bench->done);
        }
        uint32_t ticket = pcn_doorbell_arm(&bench->work);
        if (pcn_load_relaxed32(&bench->closed))
            return;
        if (pcn_load_relaxed32(&bench->items))
            continue;
        CHECK(pcn_doorbell_sleep(&bench->work, ticket, FAMILY_PATIENCE_NS) !=
              PCN_SLEPT_TIMEOUT);
    }
}

static inline void make_bursts(struct bench *bench, uint32_t bursts)
{
    uint32_t made = 0;
    uint64_t seed = 99;
    while (bursts-- > 0) {
        for (uint32_t count = 1 + check_random(&seed) % 5; count > 0; count--) {
            pcn_add_relaxed32(&bench->items, 1);
            pcn_doorbell_ring(&bench->work);
            made++;
        }
        while (pcn_load_relaxed32(&bench->finished) != made) {
            uint32_t ticket = pcn_doorbell_arm(&bench->done);
            if (pcn_load_relaxed32(&bench->finished) == made)
                break;
            CHECK(pcn_doorbell_sleep(&bench->done, ticket, FAMILY_PATIENCE_NS) !=
                  PCN_SLEPT_TIMEOUT);
        }
    }
    pcn_store_release32(&bench->closed, 1);
    pcn_doorbell_broadcast(&bench->work);
}

#endif
