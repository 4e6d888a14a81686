/* The floor of a round trip: two processes, one shared word each way, and the kernel's futex. Nobody
 * spins: who has nothing to do sleeps at once. Nothing here is procession's but the names of the
 * atomics. */

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "atomics.h"

struct words {
    pcn_atomic32 there; /* number of the latest message; written by who asks */
    pcn_atomic32 back;  /* number of the latest answer; written by the partner */
    pcn_atomic32 end;   /* nobody will ask any more */
    int64_t value;
};

static void await_change(pcn_atomic32 *word, uint32_t old)
{
    while (pcn_load_acquire32(word) == old) /* SYNC(futex.word): what was told is visible */
        syscall(SYS_futex, word, FUTEX_WAIT, old, NULL, NULL, 0);
}

static void tell(pcn_atomic32 *word)
{
    uint32_t old = pcn_load_relaxed32(word); /* nobody else writes it */

    pcn_store_release32(word, old + 1); /* SYNC(futex.word): the value is written */
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* One value there and back. */
int64_t round_trip(struct words *words, int64_t value)
{
    uint32_t old = pcn_load_relaxed32(&words->back);

    words->value = value;
    tell(&words->there);
    await_change(&words->back, old);
    return words->value;
}

/* The partner: answers with the same value, until the end. */
void serve(struct words *words)
{
    uint32_t seen = 0;

    for (;;) {
        await_change(&words->there, seen++);
        if (pcn_load_relaxed32(&words->end))
            return;
        tell(&words->back);
    }
}

void finish(struct words *words)
{
    pcn_store_relaxed32(&words->end, 1);
    tell(&words->there);
}
