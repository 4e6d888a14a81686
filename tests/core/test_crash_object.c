/* Death at each step of making, holding, pinning, giving up and sweeping objects. */
#define _GNU_SOURCE
#include "crash.h"

#include "object.h"
#include "spot.h"

struct scene {
    struct pcn_name name; /* one that the survivor holds */
    uint32_t hold;
};

static struct scene *make_scene(struct pcn_arena *arena)
{
    family_make(arena);
    return family_memory(sizeof(struct scene));
}

static void make_one(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    CHECK_EQ(pcn_object_create(arena, PCN_QUEUE, &scene->name, &scene->hold), PCN_OK);
}

static uint32_t objects(struct pcn_arena *arena)
{
    uint32_t count = 0;
    uint32_t high = pcn_load_relaxed32(&pcn_head(arena)->objects_high);
    for (uint32_t index = 0; index < high; index++)
        count += pcn_load_relaxed64(&pcn_object_at(arena, index)->serial) != 0;
    return count;
}

static uint32_t holds(struct pcn_arena *arena)
{
    uint32_t count = 0;
    uint32_t high = pcn_load_relaxed32(&pcn_head(arena)->holds_high);
    for (uint32_t index = 0; index < high; index++)
        count += pcn_load_relaxed64(&pcn_hold_at(arena, index)->owner) != 0;
    return count;
}

/* Whatever the dead one was in: its things are gone, ours are there, all can go on. */
static void only_ours_is_left(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct scene *scene = context;
    pcn_recover_all(arena);
    uint32_t again, pin;
    CHECK_EQ(pcn_object_hold(arena, scene->name, &again), PCN_OK); /* settles the lock */
    CHECK_EQ(objects(arena), 1);
    CHECK_EQ(holds(arena), 2);
    CHECK_EQ(pcn_object_pin(arena, scene->name, &pin), PCN_OK);
    pcn_object_unpin(arena, scene->name, pin);
    pcn_object_release(arena, again);
    pcn_object_release(arena, scene->hold);
    CHECK_EQ(objects(arena), 0);
    CHECK_EQ(holds(arena), 0);
    uint64_t bytes;
    uint32_t count;
    pcn_block_totals(arena, &bytes, &count);
    CHECK_EQ(count, 0);
}

static void create_with_a_block(struct pcn_arena *arena, void *context)
{
    (void)context;
    struct pcn_name name;
    uint32_t hold;
    pcn_block_id block;
    CHECK_EQ(pcn_object_create(arena, PCN_QUEUE, &name, &hold), PCN_OK);
    CHECK_EQ(pcn_block_allocate(arena, 100, &block, true), PCN_OK);
    pcn_block_give(arena, block, pcn_object_token(name), name.object);
    pcn_object_release(arena, hold);
}

static void hold_and_release(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    uint32_t hold;
    CHECK_EQ(pcn_object_hold(arena, scene->name, &hold), PCN_OK);
    pcn_object_release(arena, hold);
}

static void every_step_of_a_life(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    const struct crash crash = {.name = "object.create",
                                .arrange = make_one,
                                .operate = create_with_a_block,
                                .survive = only_ours_is_left,
                                .points = 12};
    crash_everywhere(&arena, &crash, scene);
}

static void every_step_of_a_hold(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    const struct crash crash = {.name = "object.hold",
                                .arrange = make_one,
                                .operate = hold_and_release,
                                .survive = only_ours_is_left,
                                .points = 3};
    crash_everywhere(&arena, &crash, scene);
}

static void pin_and_unpin(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    uint32_t pin;
    CHECK_EQ(pcn_object_pin(arena, scene->name, &pin), PCN_OK);
    pcn_object_unpin(arena, scene->name, pin);
}

/* A pin that was made is on its way, as far as anybody knows: it went to the parent. */
static void unpin_what_was_left(struct pcn_arena *arena, struct scene *scene)
{
    uint32_t high = pcn_load_relaxed32(&pcn_head(arena)->holds_high);
    for (uint32_t index = 0; index < high; index++) {
        struct pcn_hold *hold = pcn_hold_at(arena, index);
        if (pcn_load_relaxed64(&hold->owner) != 0 && pcn_load_relaxed32(&hold->kind) == PCN_PIN) {
            CHECK_EQ(pcn_load_relaxed64(&hold->owner), arena->me);
            pcn_object_unpin(arena, scene->name, index);
        }
    }
}

static void a_pin_may_be_left(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct scene *scene = context;
    pcn_recover_all(arena);
    uint32_t again;
    CHECK_EQ(pcn_object_hold(arena, scene->name, &again), PCN_OK); /* settles the lock */
    unpin_what_was_left(arena, scene);
    pcn_object_release(arena, again);
    CHECK_EQ(holds(arena), 1);
    pcn_object_release(arena, scene->hold);
    CHECK_EQ(objects(arena), 0);
}

static void every_step_of_a_pin(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    const struct crash crash = {.name = "object.pin",
                                .arrange = make_one,
                                .operate = pin_and_unpin,
                                .survive = a_pin_may_be_left,
                                .points = 3};
    crash_everywhere(&arena, &crash, scene);
}

static void carry_and_drop(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct pcn_name carrier;
    uint32_t hold, pin;
    CHECK_EQ(pcn_object_create(arena, PCN_MEMORY, &carrier, &hold), PCN_OK);
    CHECK_EQ(pcn_object_pin(arena, scene->name, &pin), PCN_OK);
    pcn_object_entrust(arena, scene->name, pin, carrier);
    pcn_object_release(arena, hold);
}

static void every_step_of_a_carriers_end(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    const struct crash crash = {.name = "object.entrust",
                                .arrange = make_one,
                                .operate = carry_and_drop,
                                .survive = a_pin_may_be_left,
                                .points = 8};
    crash_everywhere(&arena, &crash, scene);
}

static void send_by_a_carrier(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct pcn_name carrier;
    uint32_t hold, pin;
    CHECK_EQ(pcn_object_create(arena, PCN_MEMORY, &carrier, &hold), PCN_OK);
    CHECK_EQ(pcn_object_pin_unsent(arena, scene->name, &pin), PCN_OK);
    pcn_object_entrust(arena, scene->name, pin, carrier);
    pcn_object_release(arena, hold);
}

/* The carrier has gone with the dead one: nothing is left. */
static void every_step_of_sending(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    const struct crash crash = {.name = "object.send",
                                .arrange = make_one,
                                .operate = send_by_a_carrier,
                                .survive = only_ours_is_left,
                                .points = 12};
    crash_everywhere(&arena, &crash, scene);
}

/* ---- a sweeper dies ---- */

static void leave_much_behind(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct pcn_name name;
    uint32_t hold, pin;
    CHECK_EQ(pcn_object_hold(arena, scene->name, &hold), PCN_OK);
    pcn_store_relaxed32(&pcn_hold_at(arena, hold)->held, 1);
    CHECK_EQ(pcn_object_create(arena, PCN_QUEUE, &name, &hold), PCN_OK);
    CHECK_EQ(pcn_object_create(arena, PCN_MUTEX, &name, &hold), PCN_OK);
    pcn_store_relaxed32(&pcn_hold_at(arena, hold)->held, 1);
    CHECK_EQ(pcn_object_pin(arena, scene->name, &pin), PCN_OK);
    CHECK_EQ(pcn_object_pin_unsent(arena, scene->name, &pin), PCN_OK);
    pcn_spot_stand(arena, pcn_spot_mine(arena, 1), scene->name, 0, NULL);
}

static void make_one_and_a_dead_one(struct pcn_arena *arena, void *context)
{
    make_one(arena, context);
    CHECK(family_wait(family_fork(arena, leave_much_behind, context)));
}

static void sweep(struct pcn_arena *arena, void *context)
{
    (void)context;
    pcn_recover_all(arena);
}

static void it_is_swept_once(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct scene *scene = context;
    pcn_recover_all(arena);
    CHECK_EQ(pcn_spot_next(arena, scene->name, 0), PCN_NO_RECORD);
    uint32_t found = 0;
    uint32_t again;
    CHECK_EQ(pcn_object_hold(arena, scene->name, &again), PCN_OK);
    for (uint32_t index = pcn_hold_next(arena, scene->name, 0); index != PCN_NO_RECORD;
         index = pcn_hold_next(arena, scene->name, index + 1))
        found += pcn_load_relaxed32(&pcn_hold_at(arena, index)->kind) == PCN_REMAINS;
    CHECK_EQ(found, 1);
    unpin_what_was_left(arena, scene);
    pcn_object_release(arena, again);
    CHECK_EQ(objects(arena), 1);
    CHECK_EQ(holds(arena), 2); /* ours, and the remains */
    pcn_object_release(arena, scene->hold);
    CHECK_EQ(objects(arena), 0);
    CHECK_EQ(holds(arena), 0);
}

static void every_step_of_a_sweep(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    const struct crash crash = {.name = "object.sweep",
                                .arrange = make_one_and_a_dead_one,
                                .operate = sweep, /* the join does it already */
                                .before_join = true,
                                .survive = it_is_swept_once,
                                .points = 8};
    crash_everywhere(&arena, &crash, scene);
}

static const struct check_case cases[] = {
    CHECK_CASE(every_step_of_a_life),
    CHECK_CASE(every_step_of_a_hold),
    CHECK_CASE(every_step_of_a_pin),
    CHECK_CASE(every_step_of_a_carriers_end),
    CHECK_CASE(every_step_of_sending),
    CHECK_CASE(every_step_of_a_sweep),
};
CHECK_MAIN(cases)
