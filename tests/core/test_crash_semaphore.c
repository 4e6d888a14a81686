/* Death at each step of taking, giving, waiting for and recovering permits. */
#define _GNU_SOURCE
#include <sched.h>

#include "crash.h"
#include "semaphore_traffic.h"

struct scene {
    struct shop *shop;
    struct gate ready;
    pcn_atomic32 got; /* what the other waiter was told; PCN_REFUSED: nothing yet */
    pid_t waiter;
    uint64_t began; /* of the waiting that is died at: 0 is starving from the start */
};

static struct scene *make_scene(struct pcn_arena *arena, uint32_t permits)
{
    family_make(arena);
    struct scene *scene = family_memory(sizeof *scene);
    scene->shop = shop_make(arena, permits, permits);
    scene->ready = gate_make();
    return scene;
}

static void join_it(struct pcn_arena *arena, void *context)
{
    shop_join(arena, ((struct scene *)context)->shop);
}

/* None is lost and none is doubled, whether it has been swept or not. */
static void all_permits_are_there(struct pcn_arena *arena, struct shop *shop, bool sweep)
{
    if (sweep)
        pcn_recover_all(arena);
    uint32_t missing = shop->permits - pcn_semaphore_value(shop->semaphore);
    CHECK_EQ(pcn_semaphore_recover(arena, shop->name), missing);
    CHECK_EQ(pcn_semaphore_recover(arena, shop->name), 0);
    CHECK_EQ(pcn_semaphore_value(shop->semaphore), shop->permits);
    CHECK_EQ(pcn_load_relaxed32(&shop->semaphore->signals), 0);
    for (uint32_t i = 0; i < shop->permits; i++) {
        pcn_token dead;
        CHECK_EQ(semaphore_acquire(arena, shop, NULL, &dead), PCN_OK);
    }
    struct pcn_wait wait = wait_for(0);
    pcn_token dead;
    CHECK_EQ(semaphore_acquire(arena, shop, &wait, &dead), PCN_TIMEOUT); /* all ours */
    for (uint32_t i = 0; i < shop->permits; i++)
        semaphore_release(shop);
    pcn_recover_all(arena);
}

/* ---- it dies taking and giving ---- */

static void take_two_give_two(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct pcn_wait wait = {0, UINT64_MAX};
    pcn_token dead;
    CHECK(pcn_semaphore_try(scene->shop->semaphore, my_hold));
    CHECK_EQ(semaphore_acquire(arena, scene->shop, &wait, &dead), PCN_OK);
    semaphore_release(scene->shop);
    semaphore_release(scene->shop);
}

static void survive_swept(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    all_permits_are_there(arena, ((struct scene *)context)->shop, true);
}

static void survive_unswept(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    all_permits_are_there(arena, ((struct scene *)context)->shop, false);
}

static void no_death_costs_or_doubles_a_permit(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, 3);
    struct crash crash = {.name = "semaphore, swept",
                          .prepare = join_it,
                          .operate = take_two_give_two,
                          .survive = survive_swept,
                          .points = 10};
    crash_everywhere(&arena, &crash, scene);
    crash.name = "semaphore, unswept";
    crash.survive = survive_unswept;
    crash_everywhere(&arena, &crash, scene);
}

/* ---- a waiter dies, another one waits as well ---- */

static void be_the_other(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pcn_token dead;
    shop_join(arena, scene->shop);
    pcn_store_relaxed32(&scene->got, semaphore_acquire(arena, scene->shop, NULL, &dead));
    semaphore_release(scene->shop);
}

static void take_all_and_let_one_wait(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    while (pcn_semaphore_try(scene->shop->semaphore, my_hold))
        continue;
    pcn_store_relaxed32(&scene->got, PCN_REFUSED);
    scene->waiter = family_fork(arena, be_the_other, scene);
}

static void wait_in_vain(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pcn_token dead;
    struct pcn_wait wait = wait_for(20000000); /* it begins to starve meanwhile */
    if (scene->began == 0)
        wait.began = 0;
    CHECK_EQ(semaphore_acquire(arena, scene->shop, &wait, &dead), PCN_TIMEOUT);
}

static void the_other_has_one(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct scene *scene = context;
    semaphore_release(scene->shop);
    CHECK(family_wait(scene->waiter));
    CHECK_EQ(pcn_load_relaxed32(&scene->got), PCN_OK);
    while (pcn_semaphore_value(scene->shop->semaphore) < scene->shop->permits)
        semaphore_release(scene->shop);
    all_permits_are_there(arena, scene->shop, true);
}

static void a_dead_waiter_is_not_missed(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, 2);
    struct crash crash = {.name = "semaphore.wait",
                          .arrange = take_all_and_let_one_wait,
                          .prepare = join_it,
                          .operate = wait_in_vain,
                          .survive = the_other_has_one,
                          .points = 2};
    scene->began = 1;
    crash_everywhere(&arena, &crash, scene);
    crash.name = "semaphore.wait, starving";
    scene->began = 0;
    crash_everywhere(&arena, &crash, scene);
}

/* ---- it dies giving the one permit, and one sleeps or starves ---- */

static void wait_once_it_is_held(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pcn_token dead;
    shop_join(arena, scene->shop);
    gate_wait(&scene->ready);
    struct pcn_wait wait = wait_for(FAMILY_PATIENCE_NS);
    if (scene->began == 0)
        wait.began = 0;
    enum pcn_status got = semaphore_acquire(arena, scene->shop, &wait, &dead);
    pcn_store_relaxed32(&scene->got, got);
    if (got == PCN_OWNER_DIED) {
        CHECK_EQ(pcn_semaphore_recover(arena, scene->shop->name), 1);
        CHECK_EQ(semaphore_acquire(arena, scene->shop, NULL, &dead), PCN_OK);
    }
    semaphore_release(scene->shop);
}

static void let_one_wait_later(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pcn_store_relaxed32(&scene->got, PCN_REFUSED);
    scene->waiter = family_fork(arena, wait_once_it_is_held, scene);
}

static void hold_it_until_somebody_waits(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    shop_join(arena, scene->shop);
    CHECK(pcn_semaphore_try(scene->shop->semaphore, my_hold));
    gate_open(&scene->ready, 1);
    wait_for_bit(scene->shop, scene->began == 0 ? PCN_MUTEX_RESERVED : PCN_MUTEX_SLEEPERS);
}

static void release_it(struct pcn_arena *arena, void *context)
{
    (void)arena;
    semaphore_release(((struct scene *)context)->shop);
}

static void the_waiter_goes_on(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    CHECK(family_wait(scene->waiter));
    uint32_t got = pcn_load_relaxed32(&scene->got);
    CHECK(got == PCN_OK || (died && got == PCN_OWNER_DIED));
    all_permits_are_there(arena, scene->shop, true);
}

static void a_death_at_a_release_stops_nobody(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, 1);
    struct crash crash = {.name = "semaphore.release",
                          .arrange = let_one_wait_later,
                          .prepare = hold_it_until_somebody_waits,
                          .operate = release_it,
                          .survive = the_waiter_goes_on,
                          .points = 3};
    scene->began = 1;
    crash_everywhere(&arena, &crash, scene);
    crash.name = "semaphore.release, reserved";
    scene->began = 0;
    crash_everywhere(&arena, &crash, scene);
}

/* ---- who recovers dies ---- */

static void let_two_die(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    CHECK(pcn_semaphore_try(scene->shop->semaphore, my_hold));
    family_kill(fork_holder(arena, scene->shop)); /* with all but one */
    pcn_recover_all(arena);
    semaphore_release(scene->shop);
    family_kill(fork_holder(arena, scene->shop)); /* with one */
}

static void recover_them(struct pcn_arena *arena, void *context)
{
    CHECK_EQ(pcn_semaphore_recover(arena, ((struct scene *)context)->shop->name), 3);
}

static void a_dead_recoverer_has_given_all_back_or_nothing(struct pcn_arena *arena,
                                                           void *context, bool died)
{
    struct shop *shop = ((struct scene *)context)->shop;
    uint32_t value = pcn_semaphore_value(shop->semaphore);
    CHECK(value == 3 || (died && value == 0));
    all_permits_are_there(arena, shop, true);
}

static void permits_are_given_back_all_or_none(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, 3);
    const struct crash crash = {.name = "semaphore.recover",
                                .arrange = let_two_die,
                                .prepare = join_it,
                                .operate = recover_them,
                                .survive = a_dead_recoverer_has_given_all_back_or_nothing,
                                .points = 3};
    crash_everywhere(&arena, &crash, scene);
}

static const struct check_case cases[] = {
    CHECK_CASE(no_death_costs_or_doubles_a_permit),
    CHECK_CASE(a_dead_waiter_is_not_missed),
    CHECK_CASE(a_death_at_a_release_stops_nobody),
    CHECK_CASE(permits_are_given_back_all_or_none),
};
CHECK_MAIN(cases)
