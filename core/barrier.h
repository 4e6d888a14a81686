/* Barriers: all parties wait until the last one has come. Protocol: barrier.md.
 *
 *   index = pcn_barrier_arrive()
 *   PCN_OK: it was the last      PCN_EMPTY: others are missing     PCN_BUSY: others act
 *     act, if it wants to          pcn_barrier_sleep() until         pcn_barrier_sleep()
 *     pcn_barrier_open()           it returns something else         until it does, and again
 *   pcn_barrier_depart()         pcn_barrier_depart()
 *   PCN_OWNER_DIED: pcn_barrier_break() */
#ifndef PCN_BARRIER_H
#define PCN_BARRIER_H

#include "doorbell.h"
#include "lock.h"
#include "object.h"

#define PCN_MOST_PARTIES ((1u << 20) - 1)
#define PCN_BREAKS_KNOWN 32u

/* The body of a PCN_BARRIER. */
struct pcn_barrier {
    /* Rounds that opened (26 bits), rounds that were broken off (16), enum pcn_barrier_phase
     * (2), who has come in this round (20). Each step is one exchange of this word; it alone
     * says how things stand. The first two are the round's key. */
    pcn_atomic64 word;
    struct pcn_doorbell bell; /* who waits sleeps here */
    pcn_atomic32 misses;      /* spins in vain; only a hint */
    /* Taken by who breaks a round off. A death leaves an entry below that does not count
     * yet: written over by the next one. */
    struct pcn_lock breaking;
    /* How many rounds had opened when the n-th one was broken off, at n modulo the size:
     * tells who looks late which of both ended his own. Written before `word` counts it. */
    pcn_atomic32 broken_at[PCN_BREAKS_KNOWN];
    pcn_token maker;  /* written once, as `parties`, before others know of it */
    uint32_t parties;
};

enum pcn_barrier_phase { PCN_BARRIER_FILLING, PCN_BARRIER_ACTING, PCN_BARRIER_BROKEN };

/* Flags of a process's hold on a barrier. */
#define PCN_BARRIER_CAME 0x100u     /* it has waited here; its owner writes */
#define PCN_BARRIER_FORGIVEN 0x200u /* dead, and the barrier was reset since */

/* One thread's wait. Private memory. `name` and `hold` are the caller's to set. In the hold,
 * `taken` is the key of the round in which its process waits, `held` with how many threads;
 * written with the GIL held. */
struct pcn_barrier_wait {
    struct pcn_name name;
    struct pcn_hold *hold;
    uint64_t key;
    uint32_t index;    /* how many had come before */
    uint32_t missed;   /* processes that never came here and had died by the first look */
    uint64_t next;     /* pcn_now_ns() of the next look for deaths; 0: none was taken yet */
};

void pcn_barrier_init(struct pcn_arena *arena, struct pcn_barrier *barrier, uint32_t parties);

static inline struct pcn_barrier *pcn_barrier_at(const struct pcn_arena *arena,
                                                 struct pcn_name name)
{
    return pcn_object_body(arena, name.object);
}

/* Come. With `acts` the last one is to act and then to open the barrier itself. PCN_OK: it was
 * the last; PCN_EMPTY: others are missing; PCN_BUSY: the last one acts: wait, and come again;
 * PCN_CLOSED: the barrier is broken; PCN_OWNER_DIED: this would have been the last one, but one
 * of those before has died: nothing happened, the caller is to break the barrier. */
enum pcn_status pcn_barrier_arrive(struct pcn_arena *arena, struct pcn_barrier_wait *wait,
                                   bool acts);

/* Look for the end of the round for a moment without sleeping; whether it came. */
bool pcn_barrier_spin(struct pcn_arena *arena, const struct pcn_barrier_wait *wait);

/* How the round of this wait stands: PCN_OK: it opened; PCN_CLOSED: it was broken off;
 * PCN_EMPTY: others are missing; PCN_BUSY: the last one acts. */
enum pcn_status pcn_barrier_look(const struct pcn_arena *arena,
                                 const struct pcn_barrier_wait *wait);

/* Sleep until the round ends, one step at most, and break it off if somebody died without
 * whom it can not end. As pcn_barrier_look(), or PCN_SIGNAL: a signal handler ran. */
enum pcn_status pcn_barrier_sleep(struct pcn_arena *arena, struct pcn_barrier_wait *wait,
                                  uint64_t timeout_ns);

/* The last one has acted. PCN_OK; PCN_CLOSED: the round was broken off meanwhile. */
enum pcn_status pcn_barrier_open(struct pcn_arena *arena, const struct pcn_barrier_wait *wait);

/* The wait is over. */
void pcn_barrier_depart(const struct pcn_barrier_wait *wait);

/* The wait was given up: the others wait on, for one more. */
void pcn_barrier_withdraw(struct pcn_arena *arena, const struct pcn_barrier_wait *wait);

/* Break the barrier, if the round of this wait is still on. */
void pcn_barrier_break(struct pcn_arena *arena, const struct pcn_barrier_wait *wait);

/* Break it in any case. */
void pcn_barrier_abort(struct pcn_arena *arena, struct pcn_name name);

/* Begin anew, broken or not: who waits is told that the round was broken off, and who died is
 * forgotten. */
void pcn_barrier_reset(struct pcn_arena *arena, struct pcn_name name);

/* How many wait now; 0 of a broken one. */
uint32_t pcn_barrier_waiting(const struct pcn_barrier *barrier);

bool pcn_barrier_is_broken(const struct pcn_barrier *barrier);

#endif
