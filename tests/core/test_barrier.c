/* Barriers between processes: rounds, breaking off, resetting, and deaths. */
#define _GNU_SOURCE
#include "barrier_family.h"

#define PARTIES 4
#define ROUNDS 1000

static void one_party_never_waits(void)
{
    struct pcn_arena arena;
    uint32_t hold, index;
    struct scene *scene = scene_make(&arena, 1, &hold);
    for (int round = 0; round < 100; round++) {
        CHECK_EQ(scene_wait(&arena, scene, pcn_hold_at(&arena, hold), round % 2, &index), PCN_OK);
        CHECK_EQ(index, 0);
    }
}

struct party {
    struct scene *scene;
    uint32_t number;
};

static void write_and_compare(struct pcn_arena *arena, void *context)
{
    const struct party *me = context;
    struct scene *scene = me->scene;
    struct pcn_hold *hold = scene_hold(arena, scene);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        uint32_t index;
        scene->written[me->number] = round;
        CHECK_EQ(scene_wait(arena, scene, hold, round % 3 == 0, &index), PCN_OK);
        for (int i = 0; i < PARTIES; i++)
            CHECK_EQ(scene->written[i], round);
        pcn_add_relaxed32(&scene->opened, index);
        CHECK_EQ(scene_wait(arena, scene, hold, false, &index), PCN_OK);
    }
}

static void all_come_before_any_goes(void)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, PARTIES, &hold);
    pid_t children[PARTIES];
    for (uint32_t i = 0; i < PARTIES; i++) {
        struct party me = {scene, i};
        children[i] = family_fork(&arena, write_and_compare, &me);
    }
    for (int i = 0; i < PARTIES; i++)
        CHECK(family_wait(children[i]));
    /* Each round gave each index once. */
    CHECK_EQ(pcn_load_relaxed32(&scene->opened), ROUNDS * (PARTIES - 1) * PARTIES / 2);
    CHECK_EQ(pcn_barrier_waiting(pcn_barrier_at(&arena, scene->name)), 0);
}

static void abort_tells_all_and_stays(void)
{
    struct pcn_arena arena;
    uint32_t hold, index;
    struct scene *scene = scene_make(&arena, 3, &hold);
    pid_t children[2];
    for (int i = 0; i < 2; i++)
        children[i] = family_fork(&arena, wait_once_and_leave, scene);
    wait_until_waiting(&arena, scene, 2);
    pcn_barrier_abort(&arena, scene->name);
    for (int i = 0; i < 2; i++)
        CHECK(family_wait(children[i]));
    CHECK_EQ(pcn_load_relaxed32(&scene->broken), 2);
    CHECK(pcn_barrier_is_broken(pcn_barrier_at(&arena, scene->name)));
    CHECK_EQ(scene_wait(&arena, scene, pcn_hold_at(&arena, hold), false, &index), PCN_CLOSED);
}

static void reset_tells_all_and_begins_anew(void)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, 2, &hold);
    for (int broken = 0; broken < 2; broken++) {
        pid_t first = family_fork(&arena, wait_once_and_leave, scene);
        wait_until_waiting(&arena, scene, 1);
        if (broken)
            pcn_barrier_abort(&arena, scene->name);
        pcn_barrier_reset(&arena, scene->name);
        CHECK(family_wait(first));
        CHECK_EQ(pcn_load_relaxed32(&scene->broken), broken + 1);
        pid_t children[2] = {family_fork(&arena, wait_once_and_leave, scene),
                             family_fork(&arena, wait_once_and_leave, scene)};
        CHECK(family_wait(children[0]) && family_wait(children[1]));
        CHECK_EQ(pcn_load_relaxed32(&scene->opened), 2 * (broken + 1));
    }
}

/* Who looks late: several rounds of both kinds have ended since his own. */
static void a_late_one_learns_how_its_own_round_ended(void)
{
    struct pcn_arena arena;
    uint32_t hold, index;
    struct scene *scene = scene_make(&arena, 2, &hold);
    struct pcn_hold *mine = pcn_hold_at(&arena, hold);
    for (int breaks = 1; breaks < 100; breaks++) {
        struct pcn_barrier_wait late = scene_begin(scene, mine), other = late;
        CHECK_EQ(pcn_barrier_arrive(&arena, &late, false), PCN_EMPTY);
        bool opens = breaks % 2;
        if (opens) {
            CHECK_EQ(pcn_barrier_arrive(&arena, &other, false), PCN_OK);
            pcn_barrier_depart(&other);
        }
        for (int i = 0; i < breaks; i++) {
            pcn_barrier_abort(&arena, scene->name);
            pcn_barrier_reset(&arena, scene->name);
        }
        if (!opens) {
            CHECK_EQ(pcn_barrier_arrive(&arena, &other, false), PCN_EMPTY);
            CHECK_EQ(scene_wait(&arena, scene, mine, false, &index), PCN_OK);
            pcn_barrier_depart(&other);
        }
        /* Too long ago, and nobody can tell: then it is called broken. */
        bool known = breaks < (int)PCN_BREAKS_KNOWN;
        CHECK_EQ(pcn_barrier_look(&arena, &late), opens && known ? PCN_OK : PCN_CLOSED);
        pcn_barrier_depart(&late);
    }
}

static void who_withdraws_is_not_counted(void)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, 2, &hold);
    struct pcn_barrier_wait wait = scene_begin(scene, pcn_hold_at(&arena, hold));
    CHECK_EQ(pcn_barrier_arrive(&arena, &wait, false), PCN_EMPTY);
    pcn_barrier_withdraw(&arena, &wait);
    CHECK_EQ(pcn_barrier_waiting(pcn_barrier_at(&arena, scene->name)), 0);
    CHECK_EQ(pcn_load_relaxed32(&pcn_hold_at(&arena, hold)->held), 0);
    pid_t children[2] = {family_fork(&arena, wait_once_and_leave, scene),
                         family_fork(&arena, wait_once_and_leave, scene)};
    CHECK(family_wait(children[0]) && family_wait(children[1]));
    CHECK_EQ(pcn_load_relaxed32(&scene->opened), 2);
}

/* ---- deaths ---- */

static void who_dies_waiting_breaks_it(bool sweep)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, 3, &hold);
    pid_t doomed = family_fork(&arena, wait_once_and_leave, scene);
    pid_t waiter = family_fork(&arena, wait_once_and_leave, scene);
    wait_until_waiting(&arena, scene, 2);
    family_kill(doomed);
    if (sweep)
        pcn_recover_all(&arena);
    CHECK(family_wait(waiter));
    CHECK_EQ(pcn_load_relaxed32(&scene->broken), 1);
    CHECK(pcn_barrier_is_broken(pcn_barrier_at(&arena, scene->name)));
}

static void a_death_in_the_round_breaks_it(void)
{
    who_dies_waiting_breaks_it(false);
}

static void a_swept_death_in_the_round_breaks_it(void)
{
    who_dies_waiting_breaks_it(true);
}

static void nobody_passes_together_with_the_dead(void)
{
    struct pcn_arena arena;
    uint32_t hold, index;
    struct scene *scene = scene_make(&arena, 2, &hold);
    pid_t doomed = family_fork(&arena, wait_once_and_leave, scene);
    wait_until_waiting(&arena, scene, 1);
    family_kill(doomed);
    CHECK_EQ(scene_wait(&arena, scene, pcn_hold_at(&arena, hold), false, &index), PCN_CLOSED);
}

static void wait_then_stay(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    wait_once(arena, context);
    gate_open(&scene->gate, 1);
    for (;;)
        pause();
}

static void a_death_between_the_rounds_breaks_it(void)
{
    struct pcn_arena arena;
    uint32_t hold, index;
    struct scene *scene = scene_make(&arena, 2, &hold);
    struct pcn_hold *mine = pcn_hold_at(&arena, hold);
    for (int sweep = 0; sweep < 2; sweep++) {
        pid_t doomed = family_fork(&arena, wait_then_stay, scene);
        CHECK_EQ(scene_wait(&arena, scene, mine, false, &index), PCN_OK);
        gate_wait(&scene->gate);
        family_kill(doomed);
        if (sweep)
            pcn_recover_all(&arena);
        CHECK_EQ(scene_wait(&arena, scene, mine, false, &index), PCN_CLOSED);
        pcn_barrier_reset(&arena, scene->name);
        /* The dead one is forgotten. */
        pid_t fresh = family_fork(&arena, wait_once_and_leave, scene);
        CHECK_EQ(scene_wait(&arena, scene, mine, false, &index), PCN_OK);
        CHECK(family_wait(fresh));
    }
}

static void a_death_of_one_too_many_does_not(void)
{
    struct pcn_arena arena;
    uint32_t hold, index;
    struct scene *scene = scene_make(&arena, 2, &hold);
    struct pcn_hold *mine = pcn_hold_at(&arena, hold);
    pid_t doomed = family_fork(&arena, wait_then_stay, scene);
    CHECK_EQ(scene_wait(&arena, scene, mine, false, &index), PCN_OK);
    gate_wait(&scene->gate);
    pid_t other = family_fork(&arena, wait_then_stay, scene);
    CHECK_EQ(scene_wait(&arena, scene, mine, false, &index), PCN_OK);
    gate_wait(&scene->gate);
    family_kill(doomed);
    struct pcn_barrier_wait wait = scene_begin(scene, mine);
    CHECK_EQ(pcn_barrier_arrive(&arena, &wait, false), PCN_EMPTY);
    CHECK_EQ(pcn_barrier_sleep(&arena, &wait, 1000), PCN_EMPTY);
    pcn_barrier_withdraw(&arena, &wait);
    family_kill(other);
}

static void who_ends_by_itself_does_not(void)
{
    struct pcn_arena arena;
    uint32_t hold, index;
    struct scene *scene = scene_make(&arena, 2, &hold);
    struct pcn_hold *mine = pcn_hold_at(&arena, hold);
    pid_t child = family_fork(&arena, wait_once_and_leave, scene);
    CHECK_EQ(scene_wait(&arena, scene, mine, false, &index), PCN_OK);
    CHECK(family_wait(child));
    struct pcn_barrier_wait wait = scene_begin(scene, mine);
    CHECK_EQ(pcn_barrier_arrive(&arena, &wait, false), PCN_EMPTY);
    CHECK_EQ(pcn_barrier_sleep(&arena, &wait, 1000), PCN_EMPTY);
    pcn_recover_all(&arena);
    wait.next = 0;
    CHECK_EQ(pcn_barrier_sleep(&arena, &wait, 1000), PCN_EMPTY);
}

static void hold_and_stay(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    scene_hold(arena, scene);
    gate_open(&scene->gate, 1);
    for (;;)
        pause();
}

/* The maker only looks after them: it is not waited for. */
static void a_death_before_the_first_wait_breaks_it(void)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, 2, &hold);
    pid_t doomed = family_fork(&arena, hold_and_stay, scene);
    gate_wait(&scene->gate);
    pid_t waiter = family_fork(&arena, wait_once_and_leave, scene);
    wait_until_waiting(&arena, scene, 1);
    while (!(pcn_load_relaxed32(&pcn_barrier_at(&arena, scene->name)->bell.word) & 1))
        pcn_yield(); /* it has looked around, and sleeps */
    family_kill(doomed);
    CHECK(family_wait(waiter));
    CHECK_EQ(pcn_load_relaxed32(&scene->broken), 1);
}

static void an_old_death_of_one_that_never_came_does_not(void)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, 2, &hold);
    pid_t doomed = family_fork(&arena, hold_and_stay, scene);
    gate_wait(&scene->gate);
    family_kill(doomed);
    struct pcn_barrier_wait wait = scene_begin(scene, pcn_hold_at(&arena, hold));
    CHECK_EQ(pcn_barrier_arrive(&arena, &wait, false), PCN_EMPTY);
    for (int look = 0; look < 3; look++)
        CHECK_EQ(pcn_barrier_sleep(&arena, &wait, FAMILY_PATIENCE_NS), PCN_EMPTY);
}

static void arrive_and_act_for_ever(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct pcn_barrier_wait wait = scene_begin(scene, scene_hold(arena, scene));
    CHECK_EQ(pcn_barrier_arrive(arena, &wait, true), PCN_OK);
    gate_open(&scene->gate, 1);
    for (;;)
        pause();
}

static void a_death_in_the_action_breaks_it(void)
{
    struct pcn_arena arena;
    uint32_t hold, index;
    struct scene *scene = scene_make(&arena, 2, &hold);
    pid_t waiter = family_fork(&arena, wait_once_and_leave, scene);
    wait_until_waiting(&arena, scene, 1);
    pid_t actor = family_fork(&arena, arrive_and_act_for_ever, scene);
    gate_wait(&scene->gate);
    struct pcn_barrier_wait late = scene_begin(scene, pcn_hold_at(&arena, hold));
    CHECK_EQ(pcn_barrier_arrive(&arena, &late, false), PCN_BUSY);
    family_kill(actor);
    CHECK(family_wait(waiter));
    CHECK_EQ(pcn_load_relaxed32(&scene->broken), 1);
    CHECK_EQ(scene_wait(&arena, scene, pcn_hold_at(&arena, hold), false, &index), PCN_CLOSED);
}

static const struct check_case cases[] = {
    CHECK_CASE(one_party_never_waits),
    CHECK_CASE(all_come_before_any_goes),
    CHECK_CASE(abort_tells_all_and_stays),
    CHECK_CASE(reset_tells_all_and_begins_anew),
    CHECK_CASE(a_late_one_learns_how_its_own_round_ended),
    CHECK_CASE(who_withdraws_is_not_counted),
    CHECK_CASE(a_death_in_the_round_breaks_it),
    CHECK_CASE(a_swept_death_in_the_round_breaks_it),
    CHECK_CASE(nobody_passes_together_with_the_dead),
    CHECK_CASE(a_death_between_the_rounds_breaks_it),
    CHECK_CASE(a_death_of_one_too_many_does_not),
    CHECK_CASE(who_ends_by_itself_does_not),
    CHECK_CASE(a_death_before_the_first_wait_breaks_it),
    CHECK_CASE(an_old_death_of_one_that_never_came_does_not),
    CHECK_CASE(a_death_in_the_action_breaks_it),
};
CHECK_MAIN(cases)
