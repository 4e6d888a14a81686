/* Death at each step of taking, waiting for, releasing and recovering the shared lock. */
#define _GNU_SOURCE
#include <sched.h>

#include "crash.h"
#include "mutex_traffic.h"

struct scene {
    struct guarded *guarded;
    struct gate ready;
    pcn_atomic32 got; /* how the other waiter got it; PCN_REFUSED: not yet */
    pid_t waiter;
    uint64_t began; /* of the waiting that is died at: 0 is starving from the start */
    uint64_t patience;
    pcn_token first; /* that died owning it */
};

static struct scene *make_scene(struct pcn_arena *arena)
{
    family_make(arena);
    struct scene *scene = family_memory(sizeof *scene);
    scene->guarded = guarded_make(arena);
    scene->ready = gate_make();
    return scene;
}

static void join_it(struct pcn_arena *arena, void *context)
{
    guarded_join(arena, ((struct scene *)context)->guarded);
}

static void check_free_and_usable(struct pcn_arena *arena, struct guarded *guarded)
{
    pcn_token dead;
    CHECK_EQ(pcn_mutex_owner(guarded->mutex), 0);
    CHECK_EQ(mutex_acquire(arena, guarded->mutex, &dead), PCN_OK);
    mutex_release(guarded->mutex);
    pcn_recover_all(arena);
    CHECK_EQ(pcn_object_at(arena, guarded->name.object)->remains, 0);
    CHECK_EQ(pcn_object_at(arena, guarded->name.object)->holds, 1);
}

/* ---- it dies with the lock ---- */

static void take_and_try_it(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pcn_token dead;
    CHECK(pcn_mutex_take(arena, scene->guarded->mutex));
    mutex_release(scene->guarded->mutex);
    CHECK_EQ(pcn_mutex_try(arena, scene->guarded->mutex, &dead), PCN_OK);
    mutex_release(scene->guarded->mutex);
}

static void wait_for_it(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pcn_token dead;
    struct pcn_wait wait = {scene->began, UINT64_MAX};
    CHECK_EQ(pcn_mutex_acquire(arena, scene->guarded->mutex, &wait, &dead), PCN_OK);
    mutex_release(scene->guarded->mutex);
}

static void it_is_free_or_recovered(struct pcn_arena *arena, void *context, bool died)
{
    struct guarded *guarded = ((struct scene *)context)->guarded;
    pcn_token owner = pcn_mutex_owner(guarded->mutex), dead = 0;
    if (owner != 0) {
        CHECK(died);
        CHECK_EQ(mutex_acquire(arena, guarded->mutex, &dead), PCN_OWNER_DIED);
        CHECK_EQ(dead, owner);
        CHECK_EQ(pcn_mutex_recover(arena, guarded->name), PCN_OK);
        mutex_release(guarded->mutex);
    }
    check_free_and_usable(arena, guarded);
}

static void a_death_with_the_lock_is_told_until_it_is_recovered(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    struct crash crash = {.name = "mutex.try",
                          .prepare = join_it,
                          .operate = take_and_try_it,
                          .survive = it_is_free_or_recovered,
                          .points = 4};
    crash_everywhere(&arena, &crash, scene);
    crash.name = "mutex.acquire";
    crash.operate = wait_for_it;
    crash.points = 2;
    crash_everywhere(&arena, &crash, scene);
}

/* ---- a waiter dies, asleep and between its sleeps, another one waits as well ---- */

static void be_the_other(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pcn_token dead;
    guarded_join(arena, scene->guarded);
    pcn_store_relaxed32(&scene->got, mutex_acquire(arena, scene->guarded->mutex, &dead));
    mutex_release(scene->guarded->mutex);
}

static void own_it_and_let_one_wait(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    CHECK(pcn_mutex_take(arena, scene->guarded->mutex));
    pcn_store_relaxed32(&scene->got, PCN_REFUSED);
    scene->waiter = family_fork(arena, be_the_other, scene);
}

static void wait_in_vain(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pcn_token dead;
    struct pcn_wait wait = wait_for(scene->patience);
    if (scene->began == 0)
        wait.began = 0;
    CHECK_EQ(pcn_mutex_acquire(arena, scene->guarded->mutex, &wait, &dead), PCN_TIMEOUT);
}

static void the_other_has_it(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct scene *scene = context;
    CHECK_EQ(pcn_mutex_owner(scene->guarded->mutex), arena->me); /* the dead took nothing */
    mutex_release(scene->guarded->mutex);
    CHECK(family_wait(scene->waiter));
    CHECK_EQ(pcn_load_relaxed32(&scene->got), PCN_OK);
    check_free_and_usable(arena, scene->guarded);
}

static void a_dead_waiter_is_not_missed(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    struct crash crash = {.name = "mutex.wait",
                          .arrange = own_it_and_let_one_wait,
                          .prepare = join_it,
                          .operate = wait_in_vain,
                          .survive = the_other_has_it,
                          .points = 2};
    scene->began = 1;
    scene->patience = 20000000; /* it begins to starve meanwhile */
    crash_everywhere(&arena, &crash, scene);
    crash.name = "mutex.starve";
    scene->began = 0;
    crash_everywhere(&arena, &crash, scene);
}

/* ---- one that starves dies as it takes the lock, and another one starves ---- */

static void starve_beside_it(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pcn_token dead;
    struct pcn_wait wait = {0, UINT64_MAX};
    guarded_join(arena, scene->guarded);
    enum pcn_status got = pcn_mutex_acquire(arena, scene->guarded->mutex, &wait, &dead);
    if (got == PCN_OWNER_DIED)
        CHECK_EQ(pcn_mutex_recover(arena, scene->guarded->name), PCN_OK);
    else
        CHECK_EQ(got, PCN_OK);
    pcn_store_relaxed32(&scene->got, got);
    mutex_release(scene->guarded->mutex);
}

static void let_one_starve(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    CHECK(pcn_mutex_take(arena, scene->guarded->mutex));
    pcn_store_relaxed32(&scene->got, PCN_REFUSED);
    scene->waiter = family_fork(arena, starve_beside_it, scene);
    wait_for_bit(scene->guarded, PCN_MUTEX_RESERVED);
    kill(scene->waiter, SIGSTOP); /* so that the other one is first */
    int status;
    CHECK_EQ(waitpid(scene->waiter, &status, WUNTRACED), scene->waiter);
    mutex_release(scene->guarded->mutex);
}

static void the_one_that_starves_is_told(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    bool owned = pcn_mutex_owner(scene->guarded->mutex) != 0;
    CHECK(died || !owned);
    kill(scene->waiter, SIGCONT);
    CHECK(family_wait(scene->waiter));
    CHECK_EQ(pcn_load_relaxed32(&scene->got), owned ? PCN_OWNER_DIED : PCN_OK);
    check_free_and_usable(arena, scene->guarded);
}

static void who_starves_behind_a_dead_one_is_told(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    const struct crash crash = {.name = "mutex.acquire, reserved",
                                .arrange = let_one_starve,
                                .prepare = join_it,
                                .operate = wait_for_it,
                                .survive = the_one_that_starves_is_told,
                                .points = 2};
    crash_everywhere(&arena, &crash, scene);
}

/* ---- the owner dies while it releases, and one sleeps or starves ---- */

static void wait_once_it_is_held(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pcn_token dead;
    guarded_join(arena, scene->guarded);
    gate_wait(&scene->ready);
    struct pcn_wait wait = wait_for(UINT64_MAX);
    if (scene->began == 0)
        wait.began = 0;
    pcn_store_relaxed32(&scene->got,
                        pcn_mutex_acquire(arena, scene->guarded->mutex, &wait, &dead));
    mutex_release(scene->guarded->mutex);
}

static void let_one_wait_later(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pcn_store_relaxed32(&scene->got, PCN_REFUSED);
    scene->waiter = family_fork(arena, wait_once_it_is_held, scene);
}

static void own_it_until_somebody_waits(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    guarded_join(arena, scene->guarded);
    CHECK(pcn_mutex_take(arena, scene->guarded->mutex));
    gate_open(&scene->ready, 1);
    wait_for_bit(scene->guarded, scene->began == 0 ? PCN_MUTEX_RESERVED : PCN_MUTEX_SLEEPERS);
}

static void release_it(struct pcn_arena *arena, void *context)
{
    (void)arena;
    mutex_release(((struct scene *)context)->guarded->mutex);
}

static void the_waiter_has_it_unharmed(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct scene *scene = context;
    CHECK(family_wait(scene->waiter));
    CHECK_EQ(pcn_load_relaxed32(&scene->got), PCN_OK); /* it was released, not orphaned */
    check_free_and_usable(arena, scene->guarded);
}

static void a_death_after_the_release_leaves_it_free(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    struct crash crash = {.name = "mutex.release",
                          .arrange = let_one_wait_later,
                          .prepare = own_it_until_somebody_waits,
                          .operate = release_it,
                          .survive = the_waiter_has_it_unharmed,
                          .points = 1};
    scene->began = 1;
    crash_everywhere(&arena, &crash, scene);
    crash.name = "mutex.release, reserved";
    crash.points = 2;
    scene->began = 0;
    crash_everywhere(&arena, &crash, scene);
}

/* ---- who recovers it dies ---- */

static void die_owning_it(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pid_t owner = fork_owner(arena, scene->guarded);
    scene->first = pcn_mutex_owner(scene->guarded->mutex);
    family_kill(owner);
    CHECK_EQ(pcn_recover_all(arena), 1); /* what it left is kept: who it was */
    CHECK(pcn_hold_find(arena, scene->guarded->name, scene->first) != PCN_NO_RECORD);
}

static void recover_it(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    CHECK_EQ(pcn_mutex_recover(arena, scene->guarded->name), PCN_OK);
    mutex_release(scene->guarded->mutex);
}

static void a_dead_recoverer_is_recovered(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    const struct crash crash = {.name = "mutex.recover",
                                .arrange = die_owning_it,
                                .prepare = join_it,
                                .operate = recover_it,
                                .survive = it_is_free_or_recovered,
                                .points = 3};
    crash_everywhere(&arena, &crash, scene);
}

static const struct check_case cases[] = {
    CHECK_CASE(a_death_with_the_lock_is_told_until_it_is_recovered),
    CHECK_CASE(a_dead_waiter_is_not_missed),
    CHECK_CASE(who_starves_behind_a_dead_one_is_told),
    CHECK_CASE(a_death_after_the_release_leaves_it_free),
    CHECK_CASE(a_dead_recoverer_is_recovered),
};
CHECK_MAIN(cases)
