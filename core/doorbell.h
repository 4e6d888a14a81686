/* Doorbells: sleep until something was published. Protocol: doorbell.md.
 *
 *   sleeper                              ringer
 *   ticket = pcn_doorbell_arm(bell)      publish
 *   look again; nothing?                 pcn_doorbell_ring(bell)
 *   pcn_doorbell_sleep(bell, ticket)
 */
#ifndef PCN_DOORBELL_H
#define PCN_DOORBELL_H

#include "atomics.h"
#include "platform.h"

/* Bit 0: somebody may sleep. The rest counts rings. Written by sleepers and ringers; a
 * death leaves at worst the bit set, which costs the next ringer one needless wake. */
struct pcn_doorbell {
    pcn_atomic32 word;
};

/* Announce a sleeper. The caller must look at its condition once more afterwards. */
uint32_t pcn_doorbell_arm(struct pcn_doorbell *bell);

/* Sleep until rung since `ticket`, at most `timeout_ns`. */
enum pcn_slept pcn_doorbell_sleep(struct pcn_doorbell *bell, uint32_t ticket,
                                  uint64_t timeout_ns);

/* Wake one sleeper, if any; to be called after publishing. No system call when nobody
 * sleeps. Returns whether anybody was woken. */
bool pcn_doorbell_ring(struct pcn_doorbell *bell);

/* Wake all sleepers. */
void pcn_doorbell_broadcast(struct pcn_doorbell *bell);

#endif
