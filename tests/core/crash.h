/* Death at every step: SIGKILL a real process at its 1st, 2nd, 3rd ... fail point, until a
 * run gets through. Built with PCN_FAILPOINTS. */
#ifndef PCN_TEST_CRASH_H
#define PCN_TEST_CRASH_H

#include "family.h"

struct crash {
    const char *name;
    /* In the survivor, before the child is forked; may be NULL. */
    family_entry *arrange;
    /* In the child that will die, before the point is armed; may be NULL. */
    family_entry *prepare;
    /* The operation under test, in the child. */
    family_entry *operate;
    /* In the survivor, after each run: settle, check, carry on. */
    void (*survive)(struct pcn_arena *arena, void *context, bool died);
    /* How many points the path has at least: or the test could pass empty. */
    uint64_t points;
    bool before_join; /* arm before the child joins: the join belongs to the path */
};

struct crash_run {
    const struct crash *crash;
    void *context;
    pcn_token parent;
    uint64_t number;
};

static inline void crash_child(struct pcn_arena *arena, void *context)
{
    struct crash_run *run = context;
    if (run->crash->before_join)
        CHECK_EQ(pcn_failpoint_arm(run->number), 0);
    CHECK_EQ(pcn_owner_join(arena, run->parent), PCN_OK);
    if (run->crash->prepare)
        run->crash->prepare(arena, run->context);
    if (!run->crash->before_join)
        CHECK_EQ(pcn_failpoint_arm(run->number), 0);
    if (run->crash->operate)
        run->crash->operate(arena, run->context);
    pcn_failpoint_arm(0);
}

static inline void crash_everywhere(struct pcn_arena *arena, const struct crash *crash,
                                    void *context)
{
    for (uint64_t number = 1;; number++) {
        snprintf(check_context, sizeof check_context, "%s, fail point %llu", crash->name,
                 (unsigned long long)number);
        if (crash->arrange)
            crash->arrange(arena, context);
        struct crash_run run = {crash, context, arena->me, number};
        bool died = !family_wait(family_fork_raw(arena, crash_child, &run));
        crash->survive(arena, context, died);
        CHECK_VALID(pcn_validate_arena(arena));
        if (!died) {
            CHECK(number > crash->points);
            break;
        }
    }
    *check_context = 0;
}

#endif
