/* The robust lock: a futex word that names its owner. Protocol: lock.md. */
#ifndef PCN_LOCK_H
#define PCN_LOCK_H

#include "arena.h"

/* Take the lock under the name `me`, waiting as long as the owner lives.
 * PCN_OK; PCN_OWNER_DIED: taken too, but what it guards may be half done. */
enum pcn_status pcn_lock_acquire(const struct pcn_arena *arena, struct pcn_lock *lock,
                                 pcn_token me);

/* The same without sleeping: PCN_BUSY after a short spin. */
enum pcn_status pcn_lock_try(const struct pcn_arena *arena, struct pcn_lock *lock,
                             pcn_token me);

void pcn_lock_release(struct pcn_lock *lock);

/* Who holds it now (0: nobody). */
pcn_token pcn_lock_owner(const struct pcn_lock *lock);

#endif
