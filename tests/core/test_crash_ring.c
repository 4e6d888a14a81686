/* Death at each step of a push and of a pop: a record is there whole or not at all. */
#define _GNU_SOURCE
#include "crash.h"

#include "ring_traffic.h"

struct scene {
    struct traffic traffic;
    uint32_t next; /* the number of the next record of producer 0 */
    uint64_t tail; /* before the child's pop */
    pcn_atomic32 popped; /* by the second survivor */
};

static struct scene *make_scene(struct pcn_arena *arena)
{
    family_make(arena);
    struct scene *scene = family_memory(sizeof *scene);
    traffic_init(arena, &scene->traffic);
    return scene;
}

static void push_one(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct traffic_record record = {.producer = 0, .number = scene->next};
    uint32_t length = traffic_length(0, scene->next);
    memset(record.bytes, (int)scene->next, length);
    const struct pcn_part part = {&record, 8u + length};
    CHECK_EQ(pcn_ring_push(arena, &scene->traffic.ring, &part, 1, true, NULL), PCN_OK);
}

/* Pop one that must be `number`; false: there is none. */
static bool pop_one(struct pcn_arena *arena, struct scene *scene, uint32_t *number)
{
    struct traffic_record record;
    uint64_t length;
    if (pop(arena, &scene->traffic.ring, &record, &length) == PCN_EMPTY)
        return false;
    check_record(&record, length);
    *number = record.number;
    return true;
}

/* The second survivor: a process that pushes and pops as if nothing had happened. */
static void push_and_pop_all(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    push_one(arena, scene);
    uint32_t number, count = 0;
    while (pop_one(arena, scene, &number)) {
        CHECK_EQ(number, scene->next);
        count++;
    }
    pcn_store_relaxed32(&scene->popped, count);
}

static void the_record_is_whole_or_absent(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    CHECK_VALID(pcn_validate_ring(arena, &scene->traffic.ring));
    uint32_t number, count = 0;
    while (pop_one(arena, scene, &number)) {
        CHECK_EQ(number, scene->next);
        count++;
    }
    CHECK(count == 1 || (died && count == 0)); /* a push that returned is never lost */
    scene->next++;
    CHECK(family_wait(family_fork(arena, push_and_pop_all, scene)));
    CHECK_EQ(pcn_load_relaxed32(&scene->popped), 1);
    CHECK_VALID(pcn_validate_ring(arena, &scene->traffic.ring));
    scene->next++;
}

static void a_dead_producer_leaves_a_whole_record_or_none(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    const struct crash crash = {.name = "ring.push",
                                .operate = push_one,
                                .survive = the_record_is_whole_or_absent,
                                .points = 5};
    /* Again and again, so that the record begins at other places and wraps around. */
    for (int round = 0; round < 8; round++)
        crash_everywhere(&arena, &crash, scene);
}

/* ---- pop ---- */

static void push_three(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    for (int i = 0; i < 3; i++, scene->next++)
        push_one(arena, scene);
    scene->tail = pcn_ring_tail(&scene->traffic.ring);
}

static void pop_the_first(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    uint32_t number;
    CHECK(pop_one(arena, scene, &number));
    CHECK_EQ(number, scene->next - 3);
}

static void the_rest_is_there(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    CHECK_VALID(pcn_validate_ring(arena, &scene->traffic.ring));
    bool retired = pcn_ring_tail(&scene->traffic.ring) != scene->tail;
    CHECK(retired || died);
    for (uint32_t expected = scene->next - (retired ? 2 : 3); expected < scene->next;
         expected++) {
        uint32_t number;
        CHECK(pop_one(arena, scene, &number));
        CHECK_EQ(number, expected);
    }
    uint32_t number;
    CHECK(!pop_one(arena, scene, &number));
    CHECK(family_wait(family_fork(arena, push_and_pop_all, scene)));
    CHECK_EQ(pcn_load_relaxed32(&scene->popped), 1);
    scene->next++;
}

static void a_dead_consumer_took_a_record_or_left_it(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    const struct crash crash = {.name = "ring.pop",
                                .arrange = push_three,
                                .operate = pop_the_first,
                                .survive = the_rest_is_there,
                                .points = 3};
    for (int round = 0; round < 8; round++)
        crash_everywhere(&arena, &crash, scene);
}

/* ---- a full ring, its producer asleep, and the consumer that should wake it dies ---- */

static void fill_up(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    const struct pcn_part part = {"", 0};
    while (pcn_ring_push(arena, &scene->traffic.ring, &part, 1, true, NULL) == PCN_OK)
        continue;
    /* The bit that an armed producer leaves behind when it dies asleep. */
    pcn_doorbell_arm(&scene->traffic.ring.drained);
}

static void pop_and_report(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct traffic_record record;
    uint64_t length;
    CHECK_EQ(pop(arena, &scene->traffic.ring, &record, &length), PCN_OK);
}

static void empty_it(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct scene *scene = context;
    struct traffic_record record;
    uint64_t length, count = 0;
    while (pop(arena, &scene->traffic.ring, &record, &length) == PCN_OK)
        count++;
    CHECK(count == TRAFFIC_CAPACITY / 8 || count == TRAFFIC_CAPACITY / 8 - 1);
    CHECK_VALID(pcn_validate_ring(arena, &scene->traffic.ring));
}

static void a_consumer_that_dies_before_reporting_space_harms_nothing(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    const struct crash crash = {.name = "ring.pop of a full ring",
                                .arrange = fill_up,
                                .operate = pop_and_report,
                                .survive = empty_it,
                                .points = 4};
    crash_everywhere(&arena, &crash, scene);
}

static const struct check_case cases[] = {
    CHECK_CASE(a_dead_producer_leaves_a_whole_record_or_none),
    CHECK_CASE(a_dead_consumer_took_a_record_or_left_it),
    CHECK_CASE(a_consumer_that_dies_before_reporting_space_harms_nothing),
};
CHECK_MAIN(cases)
