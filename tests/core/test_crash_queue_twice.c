/* Death at each step of a put or a taking by one who finds that another died at each step of his:
 * what the one had in hand is given back by who comes after both, once, and nobody else's is. */
#define _GNU_SOURCE
#include "crash_queue.h"

struct twice {
    struct scene scene; /* first: it is the context of what is shared with other tests */
    family_entry *operate;
    uint64_t point; /* at which the first one dies */
    uint32_t put;   /* items that lie in the queue before */
};

static void run_to_the_point(struct pcn_arena *arena, void *context)
{
    const struct twice *twice = context;
    take_hold(arena, context);
    pcn_failpoint_arm(twice->point);
    twice->operate(arena, context);
    pcn_failpoint_arm(0);
}

static bool survived; /* the first one */

static void have_the_first_one_die(struct pcn_arena *arena, void *context)
{
    struct twice *twice = context;
    for (uint32_t i = 0; i < twice->put; i++, twice->scene.next++)
        put_next(&twice->scene.share, &twice->scene);
    survived = family_wait(family_fork(arena, run_to_the_point, context));
}

static void put_one(struct pcn_arena *arena, void *context)
{
    (void)arena;
    put_next(&child, context);
}

static void get_one_of_them(struct pcn_arena *arena, void *context)
{
    (void)arena;
    (void)context;
    uint64_t number;
    CHECK_EQ(traffic_get(&child, &number), PCN_OK);
}

static void nobody_elses_was_given_back(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct twice *twice = context;
    struct scene *scene = &twice->scene;
    uint64_t number;
    uint32_t count = 0;
    while (traffic_get(&scene->share, &number) == PCN_OK) /* checks that it is whole */
        count++;
    CHECK(twice->put ? count >= twice->put - 2 && count <= twice->put : count <= 2);
    CHECK_VALID(pcn_queue_validate(&scene->share));
    scene->next += 2;
    another_one_goes_on(arena, scene);
    pcn_recover_all(arena);
    nothing_is_left(arena, scene);
}

static void die_at_all_pairs_of_steps(const char *name, family_entry *operate, uint32_t put,
                                      uint64_t length, uint64_t steps)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct twice *twice = family_memory(sizeof *twice);
    twice->scene.share = traffic_make(&arena, 0, false);
    twice->scene.length = length;
    twice->operate = operate;
    twice->put = put;
    const struct crash crash = {.name = name,
                                .arrange = have_the_first_one_die,
                                .prepare = take_hold,
                                .operate = operate,
                                .survive = nobody_elses_was_given_back,
                                .points = 4};
    do {
        twice->point++;
        crash_everywhere(&arena, &crash, twice);
    } while (!survived);
    CHECK(twice->point > steps);
}

static void deaths_in_two_puts(void)
{
    die_at_all_pairs_of_steps("small puts", put_one, 0, 100, 4);
}

static void deaths_in_two_puts_of_large_items(void)
{
    die_at_all_pairs_of_steps("large puts", put_one, 0, TRAFFIC_LARGE, 11);
}

static void deaths_in_two_puts_that_extend(void)
{
    die_at_all_pairs_of_steps("extending puts", put_one, 0, 12000, 4);
}

static void deaths_in_two_takings_of_large_items(void)
{
    die_at_all_pairs_of_steps("large takings", get_one_of_them, 4, TRAFFIC_LARGE, 7);
}

static void deaths_in_two_takings_that_leave_a_segment(void)
{
    die_at_all_pairs_of_steps("takings from segment to segment", get_one_of_them, 4, 15000, 6);
}

static const struct check_case cases[] = {
    CHECK_CASE(deaths_in_two_puts),
    CHECK_CASE(deaths_in_two_puts_of_large_items),
    CHECK_CASE(deaths_in_two_puts_that_extend),
    CHECK_CASE(deaths_in_two_takings_of_large_items),
    CHECK_CASE(deaths_in_two_takings_that_leave_a_segment),
};
CHECK_MAIN(cases)
