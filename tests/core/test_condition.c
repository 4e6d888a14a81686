/* Conditions between processes: who is notified, in which order, and what the dead bear. */
#define _GNU_SOURCE
#include "condition_family.h"

#define WAITERS 4
#define ROUNDS 2000

static void nobody_waits_nobody_is_notified(void)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, &hold);
    CHECK_EQ(scene_notify(&arena, scene, 1), 0);
    CHECK_EQ(scene_notify(&arena, scene, PCN_CONDITION_ALL), 0);
    CHECK_EQ(pcn_condition_waiting(&arena, scene->name), 0);
}

static void a_wait_ends_at_its_timeout(void)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, &hold);
    CHECK(!scene_wait(&arena, scene, pcn_hold_at(&arena, hold), 1000000));
    CHECK_EQ(scene_notify(&arena, scene, 1), 0);
    CHECK_EQ(pcn_load_relaxed32(&pcn_hold_at(&arena, hold)->held), 0);
}

static void as_many_as_wanted_are_notified(void)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, &hold);
    pid_t waiters[WAITERS];
    for (int i = 0; i < WAITERS; i++)
        waiters[i] = family_fork(&arena, wait_to_be_notified, scene);
    wait_with_lock_until_entered(&arena, scene, WAITERS);
    CHECK_EQ(pcn_condition_waiting(&arena, scene->name), WAITERS);
    CHECK_EQ(scene_notify(&arena, scene, 1), 1);
    while (pcn_load_relaxed32(&scene->notified) != 1)
        pcn_yield();
    CHECK_EQ(pcn_condition_waiting(&arena, scene->name), WAITERS - 1);
    CHECK_EQ(scene_notify(&arena, scene, 2), 2);
    CHECK_EQ(scene_notify(&arena, scene, WAITERS), WAITERS - 3);
    CHECK_EQ(scene_notify(&arena, scene, 1), 0);
    for (int i = 0; i < WAITERS; i++)
        CHECK(family_wait(waiters[i]));
    CHECK_EQ(pcn_load_relaxed32(&scene->notified), WAITERS);
    const struct pcn_condition *condition = pcn_condition_at(&arena, scene->name);
    CHECK_EQ(pcn_load_relaxed64(&condition->given), pcn_load_relaxed64(&condition->done));
}

static void all_are_notified_at_once(void)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, &hold);
    pid_t waiters[WAITERS];
    for (int i = 0; i < WAITERS; i++)
        waiters[i] = family_fork(&arena, wait_to_be_notified, scene);
    wait_with_lock_until_entered(&arena, scene, WAITERS);
    CHECK_EQ(scene_notify(&arena, scene, PCN_CONDITION_ALL), WAITERS);
    for (int i = 0; i < WAITERS; i++)
        CHECK(family_wait(waiters[i]));
}

struct numbered {
    struct scene *scene;
    uint32_t number;
};

static void wait_and_sign(struct pcn_arena *arena, void *context)
{
    const struct numbered *me = context;
    CHECK(scene_wait(arena, me->scene, scene_hold(arena, me->scene), FAMILY_PATIENCE_NS));
    scene_lock(arena, me->scene);
    pcn_store_relaxed32(&me->scene->order,
                        pcn_load_relaxed32(&me->scene->order) * 10 + me->number);
    scene_unlock(me->scene);
}

static void who_came_first_is_notified_first(void)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, &hold);
    pid_t waiters[3];
    for (uint32_t i = 0; i < 3; i++) {
        struct numbered me = {scene, i + 1};
        waiters[i] = family_fork(&arena, wait_and_sign, &me);
        wait_with_lock_until_entered(&arena, scene, i + 1);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(scene_notify(&arena, scene, 1), 1);
        CHECK(family_wait(waiters[i]));
    }
    CHECK_EQ(pcn_load_relaxed32(&scene->order), 123);
}

static void a_dead_waiter_is_passed_over(void)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, &hold);
    pid_t doomed = family_fork(&arena, wait_to_be_notified, scene);
    wait_with_lock_until_entered(&arena, scene, 1);
    pid_t waiter = family_fork(&arena, wait_to_be_notified, scene);
    wait_with_lock_until_entered(&arena, scene, 2);
    family_kill(doomed);
    CHECK_EQ(scene_notify(&arena, scene, 1), 1);
    CHECK(family_wait(waiter));
    CHECK_EQ(pcn_load_relaxed32(&scene->notified), 1);
}

/* Notified while it is stopped, then killed: it never came to know. */
static void what_a_dead_one_never_learned_goes_to_another(bool sweep)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, &hold);
    pid_t doomed = family_fork(&arena, wait_to_be_notified, scene);
    wait_with_lock_until_entered(&arena, scene, 1);
    pid_t waiter = family_fork(&arena, wait_to_be_notified, scene);
    wait_with_lock_until_entered(&arena, scene, 2);
    kill(doomed, SIGSTOP);
    int status;
    CHECK_EQ(waitpid(doomed, &status, WUNTRACED), doomed);
    CHECK_EQ(scene_notify(&arena, scene, 1), 1);
    family_kill(doomed);
    if (sweep)
        pcn_recover_all(&arena);
    CHECK(family_wait(waiter));
    CHECK_EQ(pcn_load_relaxed32(&scene->notified), 1);
}

static void what_a_dead_one_never_learned_is_inherited(void)
{
    what_a_dead_one_never_learned_goes_to_another(false);
}

static void what_a_swept_one_never_learned_is_inherited(void)
{
    what_a_dead_one_never_learned_goes_to_another(true);
}

/* Killed while it waits for the lock that the notifier has. */
static void a_bearer_that_never_gets_the_lock_is_replaced(void)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, &hold);
    pid_t doomed = family_fork(&arena, wait_to_be_notified, scene);
    wait_with_lock_until_entered(&arena, scene, 1);
    pid_t waiter = family_fork(&arena, wait_to_be_notified, scene);
    wait_with_lock_until_entered(&arena, scene, 2);
    scene_lock(&arena, scene);
    CHECK_EQ(pcn_condition_notify(&arena, scene->name, 1), 1);
    for (uint32_t borne = 0; borne == 0;) { /* it has left its spot */
        for (uint32_t index = pcn_hold_next(&arena, scene->name, 0); index != PCN_NO_RECORD;
             index = pcn_hold_next(&arena, scene->name, index + 1))
            borne += pcn_load_relaxed32(&pcn_hold_at(&arena, index)->held);
        pcn_yield();
    }
    family_kill(doomed);
    scene_unlock(scene);
    CHECK(family_wait(waiter));
    CHECK_EQ(pcn_load_relaxed32(&scene->notified), 1);
    const struct pcn_condition *condition = pcn_condition_at(&arena, scene->name);
    CHECK_EQ(pcn_load_relaxed64(&condition->given), pcn_load_relaxed64(&condition->done));
}

static void who_came_later_inherits_nothing(void)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, &hold);
    pid_t doomed = family_fork(&arena, wait_to_be_notified, scene);
    wait_with_lock_until_entered(&arena, scene, 1);
    kill(doomed, SIGSTOP);
    int status;
    CHECK_EQ(waitpid(doomed, &status, WUNTRACED), doomed);
    CHECK_EQ(scene_notify(&arena, scene, 1), 1);
    family_kill(doomed);
    CHECK(!scene_wait(&arena, scene, pcn_hold_at(&arena, hold), 30000000));
}

static void hold_the_lock_until_killed(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    scene_lock(arena, scene);
    gate_open(&scene->go, 1);
    for (;;)
        pause();
}

static void a_waiter_learns_that_the_lock_is_a_dead_ones(void)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, &hold);
    struct pcn_condition_wait wait = {.name = scene->name,
                                      .hold = pcn_hold_at(&arena, hold),
                                      .spot = pcn_spot_mine(&arena, 1),
                                      .lock = &scene->lock};
    scene_lock(&arena, scene);
    pcn_condition_enter(&arena, &wait, 0, "here");
    scene_unlock(scene);
    pid_t holder = family_fork(&arena, hold_the_lock_until_killed, scene);
    gate_wait(&scene->go);
    CHECK_EQ(pcn_condition_sleep(&arena, &wait, FAMILY_PATIENCE_NS), PCN_TIMEOUT);
    family_kill(holder);
    CHECK_EQ(pcn_condition_sleep(&arena, &wait, FAMILY_PATIENCE_NS), PCN_OWNER_DIED);
    CHECK(!pcn_condition_leave(&wait));
}

static void an_unused_notification_is_passed_on(void)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct scene *scene = scene_make(&arena, &hold);
    struct pcn_condition_wait wait = {.name = scene->name,
                                      .hold = pcn_hold_at(&arena, hold),
                                      .spot = pcn_spot_mine(&arena, 1)};
    scene_lock(&arena, scene);
    pcn_condition_enter(&arena, &wait, 0, "here");
    scene_unlock(scene);
    pid_t waiter = family_fork(&arena, wait_to_be_notified, scene);
    wait_with_lock_until_entered(&arena, scene, 1);
    CHECK_EQ(scene_notify(&arena, scene, 1), 1);
    CHECK(pcn_condition_leave(&wait)); /* and an exception came in */
    scene_lock(&arena, scene);
    pcn_condition_finish(&arena, &wait, true, false);
    scene_unlock(scene);
    CHECK(family_wait(waiter));
}

struct ball {
    struct scene *scene;
    pcn_atomic32 *turn;
};

static void play(struct pcn_arena *arena, struct ball *ball, struct pcn_hold *hold, uint32_t mine)
{
    struct scene *scene = ball->scene;
    struct pcn_condition_wait wait = {
        .name = scene->name, .hold = hold, .spot = pcn_spot_mine(arena, 1), .lock = &scene->lock};
    for (uint32_t round = mine; round < ROUNDS; round += 2) {
        scene_lock(arena, scene);
        while (pcn_load_relaxed32(ball->turn) != round) {
            pcn_condition_enter(arena, &wait, 0, "here");
            scene_unlock(scene);
            uint64_t until = pcn_now_ns() + FAMILY_PATIENCE_NS;
            if (!pcn_condition_spin(arena, &wait)) {
                while (pcn_condition_sleep(arena, &wait, FAMILY_PATIENCE_NS) != PCN_OK)
                    CHECK(pcn_now_ns() < until);
            }
            CHECK(pcn_condition_leave(&wait));
            scene_lock(arena, scene);
            pcn_condition_finish(arena, &wait, true, true);
        }
        pcn_store_relaxed32(ball->turn, round + 1);
        pcn_condition_notify(arena, scene->name, 1);
        scene_unlock(scene);
    }
}

static void play_the_other_side(struct pcn_arena *arena, void *context)
{
    struct ball *ball = context;
    play(arena, ball, scene_hold(arena, ball->scene), 1);
}

static void no_round_of_a_ping_pong_is_lost(void)
{
    struct pcn_arena arena;
    uint32_t hold;
    struct ball ball = {.scene = scene_make(&arena, &hold)};
    ball.turn = family_memory(sizeof *ball.turn);
    pid_t other = family_fork(&arena, play_the_other_side, &ball);
    play(&arena, &ball, pcn_hold_at(&arena, hold), 0);
    CHECK(family_wait(other));
}

static const struct check_case cases[] = {
    CHECK_CASE(nobody_waits_nobody_is_notified),
    CHECK_CASE(a_wait_ends_at_its_timeout),
    CHECK_CASE(as_many_as_wanted_are_notified),
    CHECK_CASE(all_are_notified_at_once),
    CHECK_CASE(who_came_first_is_notified_first),
    CHECK_CASE(a_dead_waiter_is_passed_over),
    CHECK_CASE(what_a_dead_one_never_learned_is_inherited),
    CHECK_CASE(what_a_swept_one_never_learned_is_inherited),
    CHECK_CASE(a_bearer_that_never_gets_the_lock_is_replaced),
    CHECK_CASE(who_came_later_inherits_nothing),
    CHECK_CASE(a_waiter_learns_that_the_lock_is_a_dead_ones),
    CHECK_CASE(an_unused_notification_is_passed_on),
    CHECK_CASE(no_round_of_a_ping_pong_is_lost),
};
CHECK_MAIN(cases)
