/* Death at each step of a put: an item is in the queue whole, or not at all. */
#define _GNU_SOURCE
#include "crash_queue.h"

static void put_one(struct pcn_arena *arena, void *context)
{
    (void)arena;
    put_next(&child, context);
}

static void the_item_is_whole_or_absent(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    CHECK_VALID(pcn_queue_validate(&scene->share));
    uint32_t count = get_all(&scene->share, scene->next);
    CHECK(count == 1 || (died && count == 0)); /* a put that returned is never lost */
    scene->next++;
    another_one_goes_on(arena, scene);
    pcn_recover_all(arena);
    nothing_is_left(arena, scene);
}

static void a_dead_producer_leaves_a_whole_item_or_none(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, false);
    const struct crash crash = {.name = "queue.put",
                                .prepare = take_hold,
                                .operate = put_one,
                                .survive = the_item_is_whole_or_absent,
                                .points = 4};
    for (int round = 0; round < 3; round++)
        crash_everywhere(&arena, &crash, scene);
}

static void put_one_to_a_new_queue(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    uint32_t hold = pcn_hold_find(arena, scene->share.name, arena->me);
    pcn_object_release(arena, hold);
    CHECK_EQ(traffic_blocks(arena), 0); /* whatever the dead left of the one before */
    scene->share = traffic_make(arena, 0, false);
}

static void so_does_one_that_makes_the_first_segment(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, false);
    const struct crash crash = {.name = "queue.put, the first",
                                .arrange = put_one_to_a_new_queue,
                                .prepare = take_hold,
                                .operate = put_one,
                                .survive = the_item_is_whole_or_absent,
                                .points = 11};
    crash_everywhere(&arena, &crash, scene);
}

/* Leave less room in the segment than the next item takes. */
static void fill_the_segment(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct pcn_share *share = &scene->share;
    scene->length = 9000;
    for (;;) {
        put_next(share, scene);
        uint64_t number;
        CHECK_EQ(traffic_get(share, &number), PCN_OK);
        scene->next++;
        const struct pcn_segment *segment =
            (void *)pcn_block_bytes(arena, share->queue->writing);
        uint64_t used = pcn_end_bytes(segment->start, pcn_load_relaxed64(&share->queue->head));
        if (segment->size - sizeof *segment - used < scene->length)
            return;
    }
}

static void fill_it_and_drop_the_spare(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    fill_the_segment(arena, context);
    uint32_t spare = pcn_load_relaxed32(&scene->share.queue->spare);
    pcn_store_relaxed32(&scene->share.queue->spare, 0);
    if (spare)
        pcn_block_free(arena, spare, false, true);
}

static void so_does_one_that_needs_another_segment(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, false);
    struct crash crash = {.name = "queue.put, a full segment, a spare one",
                          .arrange = fill_the_segment,
                          .prepare = take_hold,
                          .operate = put_one,
                          .survive = the_item_is_whole_or_absent,
                          .points = 8};
    crash_everywhere(&arena, &crash, scene);
    crash.name = "queue.put, a full segment";
    crash.arrange = fill_it_and_drop_the_spare;
    crash.points = 11;
    crash_everywhere(&arena, &crash, scene);
}

static void so_does_one_of_a_large_item(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, false);
    scene->length = TRAFFIC_LARGE;
    const struct crash crash = {.name = "queue.put, large",
                                .prepare = take_hold,
                                .operate = put_one,
                                .survive = the_item_is_whole_or_absent,
                                .points = 11};
    crash_everywhere(&arena, &crash, scene);
}

#define MANY 40

static void put_many(struct pcn_arena *arena, void *context)
{
    (void)arena;
    const struct scene *scene = context;
    static uint64_t bytes[MANY][100];
    struct pcn_item items[MANY];
    for (uint64_t i = 0; i < MANY; i++) {
        memset(bytes[i], (int)((scene->next + i) % 251), sizeof bytes[i]);
        bytes[i][0] = scene->next + i;
        items[i] = (struct pcn_item){.bytes = bytes[i], .length = sizeof bytes[i], .kind = 7};
    }
    uint32_t done;
    CHECK_EQ(pcn_queue_put(&child, items, MANY, &done, true), PCN_OK);
}

static void a_part_of_them_is_there(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    CHECK_VALID(pcn_queue_validate(&scene->share));
    uint32_t count = get_all(&scene->share, scene->next);
    CHECK(died ? count <= MANY : count == MANY);
    scene->next += MANY;
    another_one_goes_on(arena, scene);
    pcn_recover_all(arena);
    nothing_is_left(arena, scene);
}

static void a_dead_producer_of_many_leaves_the_first_ones(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, false);
    const struct crash crash = {.name = "queue.put, many",
                                .prepare = take_hold,
                                .operate = put_many,
                                .survive = a_part_of_them_is_there,
                                .points = MANY};
    crash_everywhere(&arena, &crash, scene);
}

/* ---- shut ---- */

static void shut(struct pcn_arena *arena, void *context)
{
    (void)arena;
    (void)context;
    pcn_queue_shut(&child);
}

static void it_is_shut_or_not(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    struct pcn_share *share = &scene->share;
    bool closed = pcn_queue_is_closed(share->queue);
    CHECK(closed || died);
    CHECK_EQ(traffic_put(share, 0), closed ? PCN_CLOSED : PCN_OK);
    uint64_t number;
    CHECK_EQ(traffic_get(share, &number), closed ? PCN_CLOSED : PCN_OK);
    pcn_object_release(arena, pcn_hold_find(arena, share->name, arena->me));
    *share = traffic_make(arena, 0, false);
}

static void a_queue_is_shut_or_not(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, false);
    const struct crash crash = {.name = "queue.shut",
                                .prepare = take_hold,
                                .operate = shut,
                                .survive = it_is_shut_or_not,
                                .points = 2};
    crash_everywhere(&arena, &crash, scene);
}

static const struct check_case cases[] = {
    CHECK_CASE(a_dead_producer_leaves_a_whole_item_or_none),
    CHECK_CASE(so_does_one_that_makes_the_first_segment),
    CHECK_CASE(so_does_one_that_needs_another_segment),
    CHECK_CASE(so_does_one_of_a_large_item),
    CHECK_CASE(a_dead_producer_of_many_leaves_the_first_ones),
    CHECK_CASE(a_queue_is_shut_or_not),
};
CHECK_MAIN(cases)
