/* Death at each step of taking an item and of what follows: it is taken by one, or by none; and
 * what the dead had in hand is known exactly. */
#define _GNU_SOURCE
#include "crash_queue.h"

#include "lock.h"

static void get_three(struct pcn_arena *arena, void *context)
{
    (void)arena;
    const struct scene *scene = context;
    struct traffic_room room;
    traffic_room_init(&room);
    CHECK_EQ(pcn_queue_get(&child, 3, &room.taking, true), PCN_OK);
    CHECK_EQ(room.taking.count, 3);
    uint64_t at = 0;
    for (uint64_t i = 0; i < 3; i++) {
        struct pcn_item item = pcn_queue_taken(&child, &room.taking, &at);
        CHECK_EQ(traffic_check(&item), scene->next - scene->items + i);
    }
    traffic_free(&child, &room);
}

/* The record of the only process, but ours, that has one. */
static const struct pcn_hold *the_others_hold(const struct pcn_share *share)
{
    for (uint32_t index = pcn_hold_next(share->arena, share->name, 0); index != PCN_NO_RECORD;
         index = pcn_hold_next(share->arena, share->name, index + 1)) {
        const struct pcn_hold *hold = pcn_hold_at(share->arena, index);
        if (pcn_load_relaxed64(&hold->owner) != share->arena->me)
            return hold;
    }
    return NULL;
}

static void what_was_taken_is_known(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    struct pcn_share *share = &scene->share;
    uint64_t tail = pcn_load_relaxed64(&share->queue->tail);
    uint32_t taken = pcn_end_items(scene->tail, tail);
    CHECK(died || taken > 0);
    CHECK_EQ(get_all(share, scene->next - scene->items + taken), scene->items - taken);
    CHECK_VALID(pcn_queue_validate(share));
    /* The lock was inherited, and its last taking decided. */
    const struct pcn_hold *hold = the_others_hold(share);
    CHECK_EQ(pcn_load_relaxed64(&hold->taken), taken);
    CHECK_EQ(pcn_end_items(pcn_load_relaxed64(&hold->taking_from),
                           pcn_load_relaxed64(&hold->taking_until)),
             taken);
    if (taken)
        CHECK_EQ(pcn_load_relaxed64(&hold->taking_from), scene->tail);
    CHECK_EQ(pcn_queue_culprit(share) != 0, taken != 0);
    CHECK_EQ(pcn_queue_recover(share), taken);
    for (uint32_t i = taken; i < scene->items; i++)
        CHECK_EQ(pcn_queue_done(share, true), PCN_OK);
    CHECK_EQ(pcn_queue_unfinished(share->queue), 0);
    pcn_recover_all(arena);
    pcn_queue_recover(share);
    another_one_goes_on(arena, scene);
    pcn_recover_all(arena);
    pcn_queue_recover(share);
    nothing_is_left(arena, scene);
}

static void a_dead_consumer_took_or_did_not(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, true);
    scene->items = 4;
    struct crash crash = {.name = "queue.get",
                          .arrange = put_some,
                          .prepare = take_hold,
                          .operate = get_one,
                          .survive = what_was_taken_is_known,
                          .points = 6};
    crash_everywhere(&arena, &crash, scene);
    crash.name = "queue.get, many";
    crash.operate = get_three;
    crash_everywhere(&arena, &crash, scene);
}

static void nor_does_one_that_leaves_a_segment_behind_double_anything(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, true);
    scene->length = 8000; /* two in a segment: each second taking begins in a new one */
    scene->items = 4;
    struct crash crash = {.name = "queue.get, segments",
                          .arrange = put_some,
                          .prepare = take_hold,
                          .operate = get_three,
                          .survive = what_was_taken_is_known,
                          .points = 7};
    for (int round = 0; round < 3; round++)
        crash_everywhere(&arena, &crash, scene);
}

static void nor_one_that_takes_a_large_item(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, true);
    scene->length = TRAFFIC_LARGE;
    scene->items = 3;
    struct crash crash = {.name = "queue.get, large",
                          .arrange = put_some,
                          .prepare = take_hold,
                          .operate = get_one,
                          .survive = what_was_taken_is_known,
                          .points = 8};
    crash_everywhere(&arena, &crash, scene);
}

/* ---- done, recover ---- */

static void get_and_mark(struct pcn_arena *arena, void *context)
{
    take_hold(arena, context);
    get_one(arena, context);
}

static void mark_one(struct pcn_arena *arena, void *context)
{
    (void)arena;
    (void)context;
    CHECK_EQ(pcn_queue_done(&child, true), PCN_OK);
}

static void the_item_is_done_or_not(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    struct pcn_share *share = &scene->share;
    CHECK_EQ(get_all(share, scene->next - scene->items + 1), scene->items - 1);
    uint32_t unfinished = pcn_queue_unfinished(share->queue);
    CHECK(unfinished == scene->items - 1 || (died && unfinished == scene->items));
    bool is_lost = unfinished == scene->items;
    CHECK_EQ(pcn_queue_culprit(share) != 0, is_lost);
    pcn_recover_all(arena);
    CHECK_EQ(pcn_queue_culprit(share) != 0, is_lost);
    CHECK_EQ(pcn_queue_recover(share), is_lost);
    for (uint32_t i = 1; i < scene->items; i++)
        CHECK_EQ(pcn_queue_done(share, true), PCN_OK);
    CHECK_EQ(pcn_queue_done(share, true), PCN_EMPTY);
    another_one_goes_on(arena, scene);
    pcn_recover_all(arena);
    pcn_queue_recover(share);
    nothing_is_left(arena, scene);
}

static void a_death_marks_an_item_or_does_not(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, true);
    scene->items = 3;
    const struct crash crash = {.name = "queue.done",
                                .arrange = put_some,
                                .prepare = get_and_mark,
                                .operate = mark_one,
                                .survive = the_item_is_done_or_not,
                                .points = 5};
    crash_everywhere(&arena, &crash, scene);
}

static void take_two_and_die(struct pcn_arena *arena, void *context)
{
    take_hold(arena, context);
    uint64_t number;
    CHECK_EQ(traffic_get(&child, &number), PCN_OK);
    CHECK_EQ(traffic_get(&child, &number), PCN_OK);
    raise(SIGKILL);
}

static void leave_two_in_dead_hands(struct pcn_arena *arena, void *context)
{
    put_some(arena, context);
    CHECK(!family_wait(family_fork(arena, take_two_and_die, context)));
}

static void recover_them(struct pcn_arena *arena, void *context)
{
    (void)arena;
    (void)context;
    CHECK_EQ(pcn_queue_recover(&child), 2);
}

static void they_are_marked_once(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    struct pcn_share *share = &scene->share;
    uint32_t again = pcn_queue_recover(share);
    CHECK(again == 0 || (died && again == 2));
    CHECK_EQ(pcn_queue_unfinished(share->queue), 1);
    CHECK_EQ(get_all(share, scene->next - 1), 1);
    CHECK_EQ(pcn_queue_done(share, true), PCN_OK);
    CHECK_EQ(pcn_queue_done(share, true), PCN_EMPTY);
    CHECK_EQ(pcn_queue_culprit(share), 0);
    pcn_recover_all(arena);
    CHECK_EQ(pcn_queue_recover(share), 0);
    another_one_goes_on(arena, scene);
    pcn_recover_all(arena);
    pcn_queue_recover(share);
    nothing_is_left(arena, scene);
}

static void a_recovery_that_dies_is_made_once(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, true);
    scene->items = 3;
    const struct crash crash = {.name = "queue.recover",
                                .arrange = leave_two_in_dead_hands,
                                .prepare = take_hold,
                                .operate = recover_them,
                                .survive = they_are_marked_once,
                                .points = 5};
    crash_everywhere(&arena, &crash, scene);
}

/* ---- one death upon the other ---- */

static void die_with_the_lock(struct pcn_arena *arena, void *context)
{
    /* As a consumer that has signed for one item and not retired it. */
    take_hold(arena, context);
    struct pcn_hold *hold = child.hold;
    const struct scene *scene = context;
    pcn_store_relaxed64(&hold->taking_from, scene->tail);
    pcn_store_relaxed64(&hold->taking_until, scene->tail + 1);
    pcn_store_relaxed32(&hold->flags, PCN_HOLD_KEEP | PCN_TAKING | 1u << PCN_TAKING_SHIFT);
    pcn_lock_acquire(arena, &child.queue->consume, arena->me);
    raise(SIGKILL);
}

static void leave_a_dead_consumer(struct pcn_arena *arena, void *context)
{
    put_some(arena, context);
    CHECK(!family_wait(family_fork(arena, die_with_the_lock, context)));
}

static void nothing_was_lost_by_both(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    struct pcn_share *share = &scene->share;
    uint32_t taken = pcn_end_items(scene->tail, pcn_load_relaxed64(&share->queue->tail));
    CHECK(taken == 1 || (died && taken == 0));
    CHECK_EQ(get_all(share, scene->next - scene->items + taken), scene->items - taken);
    CHECK_EQ(pcn_queue_recover(share), taken);
    CHECK_VALID(pcn_queue_validate(share));
    while (pcn_queue_unfinished(share->queue))
        CHECK_EQ(pcn_queue_done(share, true), PCN_OK);
    pcn_recover_all(arena);
    pcn_queue_recover(share);
    nothing_is_left(arena, scene);
}

static void who_inherits_may_die_as_well(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, true);
    scene->items = 3;
    const struct crash crash = {.name = "queue.get, inherited",
                                .arrange = leave_a_dead_consumer,
                                .prepare = take_hold,
                                .operate = get_one,
                                .survive = nothing_was_lost_by_both,
                                .points = 7};
    crash_everywhere(&arena, &crash, scene);
}

static const struct check_case cases[] = {
    CHECK_CASE(a_dead_consumer_took_or_did_not),
    CHECK_CASE(nor_does_one_that_leaves_a_segment_behind_double_anything),
    CHECK_CASE(nor_one_that_takes_a_large_item),
    CHECK_CASE(a_death_marks_an_item_or_does_not),
    CHECK_CASE(a_recovery_that_dies_is_made_once),
    CHECK_CASE(who_inherits_may_die_as_well),
};
CHECK_MAIN(cases)
