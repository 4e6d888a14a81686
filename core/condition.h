/* Conditions: wait until notified, beside a lock of the user's. Protocol: condition.md.
 *
 *   waiter, having the user's lock            notifier, having the user's lock
 *   pcn_condition_enter()                     pcn_condition_notify()
 *   release the lock
 *   pcn_condition_sleep() until it returns
 *   pcn_condition_leave()
 *   acquire the lock
 *   if it was notified, pcn_condition_finish() */
#ifndef PCN_CONDITION_H
#define PCN_CONDITION_H

#include "mutex.h"
#include "object.h"
#include "spot.h"

#define PCN_CONDITION_ALL UINT64_MAX

/* The body of a PCN_CONDITION; all zero is one that nobody ever waited at. Who waits, and who
 * was notified, stands in the spots and holds. Written by who has the user's lock, but `done`. */
struct pcn_condition {
    pcn_atomic64 tickets; /* the last one given */
    pcn_atomic64 told;    /* the last one there was at the last notification */
    /* The last one there was when a notifier left nobody waiting: until another one is
     * given, none is to be looked for. */
    pcn_atomic64 quiet;
    /* Notifications given, and those whose bearer has the lock again. A death leaves them
     * apart; then waiters look for what a dead one bears. */
    pcn_atomic64 given;
    pcn_atomic64 done;
    pcn_atomic32 misses; /* spins in vain; only a hint */
};

/* One wait. Private memory of the waiting thread. */
struct pcn_condition_wait {
    struct pcn_name name;
    struct pcn_hold *hold; /* its process's on the condition; `held` counts what it bears */
    struct pcn_spot *spot;
    const struct pcn_mutex *lock; /* the user's, to look after its owner; may be NULL */
    uint64_t ticket;
    uint32_t standing; /* what its spot's state is until it is notified */
    uint64_t pause;    /* nanoseconds between two looks for what the dead bear */
    uint64_t next;     /* pcn_now_ns() of the next one */
    uint32_t surplus;  /* notifications that it bears besides its own */
};

static inline struct pcn_condition *pcn_condition_at(const struct pcn_arena *arena,
                                                     struct pcn_name name)
{
    return pcn_object_body(arena, name.object);
}

/* Begin to wait: whoever has the lock after us can notify us. `name`, `hold`, `spot` and `lock`
 * of the wait are the caller's to set; the spot is taken until pcn_condition_leave(). */
void pcn_condition_enter(struct pcn_arena *arena, struct pcn_condition_wait *wait,
                         uint32_t op, const char *place);

/* Look for the notification for a moment without sleeping; whether it came. */
bool pcn_condition_spin(struct pcn_arena *arena, const struct pcn_condition_wait *wait);

/* Sleep until notified, one step at most. PCN_OK: notified; PCN_TIMEOUT: not yet; PCN_SIGNAL: a
 * signal handler ran; PCN_OWNER_DIED: the lock's owner died, and notifies nobody any more. */
enum pcn_status pcn_condition_sleep(struct pcn_arena *arena, struct pcn_condition_wait *wait,
                                    uint64_t timeout_ns);

/* Wait no more; whether a notification came, perhaps at the last moment. It is borne by the
 * process from here on. */
bool pcn_condition_leave(const struct pcn_condition_wait *wait);

/* A notification's bearer has the lock again (`locked`), or has given up to get it. One that
 * is not `used`, for the wait was interrupted, goes to another one who waited when it came. */
void pcn_condition_finish(struct pcn_arena *arena, const struct pcn_condition_wait *wait,
                          bool locked, bool used);

/* Notify at most so many, in the order of their arrival; returns how many. */
uint64_t pcn_condition_notify(struct pcn_arena *arena, struct pcn_name name, uint64_t most);

/* How many wait now. */
uint32_t pcn_condition_waiting(const struct pcn_arena *arena, struct pcn_name name);

#endif
