/* Patience: look for a while before going to sleep. A sleeper's wake-up costs 50 to 70
 * microseconds; what comes sooner than that is better looked for. */
#ifndef PCN_PATIENCE_H
#define PCN_PATIENCE_H

#include "atomics.h"

/* Look, burning the core and offering it to others now and then, until ready(what), but not
 * for long; whether it came. Not where this thread has but one core to run on: then only one
 * look. `misses` counts the spins in vain since the last one that was not, of all who wait for
 * this kind of thing, and makes the next ones short: what is waited for takes long, or others
 * want the core. Only a hint, any value is good; begin with 0. To be called before arming a
 * bell, not instead of it. */
bool pcn_spin(bool (*ready)(const void *what), const void *what, pcn_atomic32 *misses);

/* The same for who knows whether a core is `spare`: burning it, or else letting others run
 * between the looks. */
bool pcn_spin_beside(bool (*ready)(const void *what), const void *what, pcn_atomic32 *misses,
                     bool spare);

#endif
