/* Objects: held, pinned, swept; a process's spots. */
#define _GNU_SOURCE
#include <pthread.h>

#include "family.h"

#include "object.h"
#include "spot.h"

static struct pcn_name make(struct pcn_arena *arena, uint32_t *hold)
{
    struct pcn_name name;
    CHECK_EQ(pcn_object_create(arena, PCN_MUTEX, &name, hold), PCN_OK);
    return name;
}

static bool is_there(struct pcn_arena *arena, struct pcn_name name)
{
    uint32_t hold;
    enum pcn_status status = pcn_object_hold(arena, name, &hold);
    CHECK(status == PCN_OK || status == PCN_CLOSED);
    if (status == PCN_OK)
        pcn_object_release(arena, hold);
    return status == PCN_OK;
}

static void a_new_object_is_empty(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    uint32_t hold;
    struct pcn_name name = make(&arena, &hold);
    memset(pcn_object_body(&arena, name.object), 0xff, PCN_BODY);
    pcn_object_release(&arena, hold);
    struct pcn_name other = make(&arena, &hold);
    CHECK_EQ(other.object, name.object);
    CHECK(other.serial != name.serial);
    const uint8_t *body = pcn_object_body(&arena, other.object);
    for (uint32_t i = 0; i < PCN_BODY; i++)
        CHECK_EQ(body[i], 0);
}

static void it_ends_with_its_last_hold(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    uint32_t first, second;
    struct pcn_name name = make(&arena, &first);
    CHECK_EQ(pcn_object_hold(&arena, name, &second), PCN_OK);
    pcn_object_release(&arena, first);
    CHECK(is_there(&arena, name)); /* and after this look again */
    CHECK(is_there(&arena, name));
    pcn_object_release(&arena, second);
    CHECK(!is_there(&arena, name));
    make(&arena, &first);
    CHECK(!is_there(&arena, name)); /* another one stands in its place */
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void a_pin_keeps_it_once(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    uint32_t hold, pin;
    struct pcn_name name = make(&arena, &hold);
    CHECK_EQ(pcn_object_pin(&arena, name, &pin), PCN_OK);
    pcn_object_release(&arena, hold);
    CHECK_EQ(pcn_object_hold(&arena, name, &hold), PCN_OK);
    pcn_object_unpin(&arena, name, pin);
    pcn_object_unpin(&arena, name, pin); /* a second arrival of the same pickle */
    CHECK(is_there(&arena, name));
    pcn_object_unpin(&arena, name, hold); /* that is no pin */
    pcn_object_unpin(&arena, name, PCN_MAX_HOLDS - 1);
    CHECK(is_there(&arena, name));
    pcn_object_release(&arena, hold);
    CHECK(!is_there(&arena, name));
    CHECK_EQ(pcn_object_pin(&arena, name, &pin), PCN_CLOSED);
}

static void names_that_never_were_are_refused(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    uint32_t hold;
    CHECK_EQ(pcn_object_hold(&arena, (struct pcn_name){0, 1}, &hold), PCN_CLOSED);
    CHECK_EQ(pcn_object_hold(&arena, (struct pcn_name){UINT32_MAX, 1}, &hold), PCN_CLOSED);
    make(&arena, &hold);
    CHECK_EQ(pcn_object_hold(&arena, (struct pcn_name){0, 0}, &hold), PCN_CLOSED);
}

static void an_entrusted_pin_goes_with_its_carrier(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    uint32_t hold, inner_hold, carrier_hold, pin, inner_pin;
    struct pcn_name name = make(&arena, &hold), inner = make(&arena, &inner_hold);
    struct pcn_name carrier = make(&arena, &carrier_hold);
    CHECK_EQ(pcn_object_pin(&arena, name, &pin), PCN_OK);
    pcn_object_entrust(&arena, name, pin, carrier);
    CHECK_EQ(pcn_object_pin(&arena, inner, &inner_pin), PCN_OK);
    pcn_object_entrust(&arena, inner, inner_pin, name); /* one in the other */
    pcn_object_release(&arena, hold);
    pcn_object_release(&arena, inner_hold);
    CHECK(is_there(&arena, name));
    CHECK(is_there(&arena, inner));
    pcn_object_release(&arena, carrier_hold);
    CHECK(!is_there(&arena, carrier));
    CHECK(!is_there(&arena, name));
    CHECK(!is_there(&arena, inner));
    make(&arena, &hold);
    pcn_object_unpin(&arena, name, pin); /* gone */
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void who_arrives_unpins_what_was_entrusted(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    uint32_t hold, carrier_hold, pin, late;
    struct pcn_name name = make(&arena, &hold), carrier = make(&arena, &carrier_hold);
    CHECK_EQ(pcn_object_pin(&arena, name, &pin), PCN_OK);
    pcn_object_entrust(&arena, name, pin, carrier);
    pcn_object_unpin(&arena, name, pin);
    pcn_object_entrust(&arena, name, pin, carrier); /* too late: it has arrived */
    pcn_object_release(&arena, carrier_hold);
    CHECK(is_there(&arena, name));
    CHECK_EQ(pcn_object_pin(&arena, name, &late), PCN_OK);
    pcn_object_entrust(&arena, name, late, carrier); /* that has ended: it stays ours */
    pcn_object_release(&arena, hold);
    CHECK(is_there(&arena, name));
    pcn_object_unpin(&arena, name, late);
    CHECK(!is_there(&arena, name));
}

struct scene {
    struct pcn_name name;
    struct gate done;
    uint32_t held;
};

static void make_one_and_pin_it(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    uint32_t hold, pin;
    scene->name = make(arena, &hold);
    CHECK_EQ(pcn_object_pin(arena, scene->name, &pin), PCN_OK);
    scene->held = pin;
}

static void a_pin_outlives_its_maker(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct scene *scene = family_memory(sizeof *scene);
    CHECK(family_wait(family_fork(&arena, make_one_and_pin_it, scene)));
    CHECK_EQ(pcn_recover_all(&arena), 1);
    uint32_t hold;
    CHECK_EQ(pcn_object_hold(&arena, scene->name, &hold), PCN_OK);
    pcn_object_unpin(&arena, scene->name, scene->held);
    pcn_object_release(&arena, hold);
    CHECK(!is_there(&arena, scene->name));
}

static void make_one_and_send_nothing(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    uint32_t hold;
    scene->name = make(arena, &hold);
    CHECK_EQ(pcn_object_pin_unsent(arena, scene->name, &scene->held), PCN_OK);
}

static void an_unsent_pin_ends_with_its_maker(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct scene *scene = family_memory(sizeof *scene);
    CHECK(family_wait(family_fork(&arena, make_one_and_send_nothing, scene)));
    CHECK_EQ(pcn_recover_all(&arena), 1);
    CHECK(!is_there(&arena, scene->name));
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void make_two_and_send_them(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    uint32_t hold, carrier_hold;
    for (uint32_t i = 0; i < 2; i++) {
        scene[i].name = make(arena, &hold);
        CHECK_EQ(pcn_object_pin_unsent(arena, scene[i].name, &scene[i].held), PCN_OK);
    }
    pcn_object_confirm(arena, scene[0].name, scene[0].held);
    struct pcn_name carrier = make(arena, &carrier_hold);
    pcn_object_release(arena, carrier_hold);
    pcn_object_entrust(arena, scene[1].name, scene[1].held, carrier); /* that has ended */
}

static void a_confirmed_pin_outlives_its_maker(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct scene *scene = family_memory(2 * sizeof *scene);
    CHECK(family_wait(family_fork(&arena, make_two_and_send_them, scene)));
    CHECK_EQ(pcn_recover_all(&arena), 1);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK(is_there(&arena, scene[i].name));
        pcn_object_unpin(&arena, scene[i].name, scene[i].held);
        CHECK(!is_there(&arena, scene[i].name));
    }
}

static void hold_it(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    uint32_t hold;
    CHECK_EQ(pcn_object_hold(arena, scene->name, &hold), PCN_OK);
    struct pcn_hold *record = pcn_hold_at(arena, hold);
    pcn_store_relaxed32(&record->held, scene->held);
    snprintf(record->place, sizeof record->place, "there");
    memcpy(pcn_slot_at(arena, pcn_token_slot(arena->me))->name, "child", 6);
}

static uint32_t remains(struct pcn_arena *arena, struct pcn_name name, pcn_token *whose)
{
    for (uint32_t index = pcn_hold_next(arena, name, 0); index != PCN_NO_RECORD;
         index = pcn_hold_next(arena, name, index + 1)) {
        struct pcn_hold *hold = pcn_hold_at(arena, index);
        if (pcn_load_relaxed32(&hold->kind) == PCN_REMAINS) {
            *whose = pcn_load_relaxed64(&hold->owner);
            return index;
        }
    }
    return PCN_NO_RECORD;
}

static void what_a_dead_holder_had_in_hand_is_told(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct scene *scene = family_memory(sizeof *scene);
    uint32_t mine;
    pcn_token whose;
    scene->name = make(&arena, &mine);
    CHECK(family_wait(family_fork(&arena, hold_it, scene)));
    CHECK_EQ(pcn_recover_all(&arena), 1);
    CHECK_EQ(remains(&arena, scene->name, &whose), PCN_NO_RECORD); /* it had nothing */
    scene->held = 1;
    CHECK(family_wait(family_fork(&arena, hold_it, scene)));
    CHECK_EQ(pcn_recover_all(&arena), 1);
    uint32_t found = remains(&arena, scene->name, &whose);
    CHECK(found != PCN_NO_RECORD);
    CHECK(pcn_hold_is_dead(&arena, pcn_hold_at(&arena, found)));
    char name[PCN_NAME_ROOM];
    pcn_hold_whose(&arena, pcn_hold_at(&arena, found), name);
    CHECK_EQ(strcmp(name, "child"), 0);
    CHECK_EQ(strcmp(pcn_hold_at(&arena, found)->place, "there"), 0);
    CHECK_EQ(pcn_hold_find(&arena, scene->name, whose), found);
    pcn_hold_settle(&arena, scene->name, whose);
    CHECK_EQ(remains(&arena, scene->name, &whose), PCN_NO_RECORD);
    pcn_object_release(&arena, mine); /* remains alone keep nothing */
    CHECK(!is_there(&arena, scene->name));
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void remains_go_with_the_object(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct scene *scene = family_memory(sizeof *scene);
    uint32_t mine;
    pcn_token whose;
    scene->held = 1;
    for (int round = 0; round < 3; round++) {
        scene->name = make(&arena, &mine);
        CHECK(family_wait(family_fork(&arena, hold_it, scene)));
        pcn_recover_all(&arena);
        pcn_object_release(&arena, mine);
        CHECK_EQ(remains(&arena, scene->name, &whose), PCN_NO_RECORD);
    }
    CHECK(pcn_load_relaxed32(&pcn_head(&arena)->holds_high) <= 2);
}

static void its_blocks_go_with_it(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    uint32_t first, second;
    struct pcn_name one = make(&arena, &first), other = make(&arena, &second);
    pcn_block_id blocks[2];
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pcn_block_allocate(&arena, 100, &blocks[i], true), PCN_OK);
    pcn_object_at(&arena, one.object)->block = blocks[0];
    pcn_object_at(&arena, other.object)->block = blocks[1];
    pcn_block_give_marked(&arena, blocks[0], pcn_object_token(one), one.object, 1ull << 63);
    pcn_block_give(&arena, blocks[1], pcn_object_token(other), other.object);
    uint64_t bytes;
    uint32_t count;
    pcn_object_release(&arena, second); /* not those of older ones */
    pcn_block_totals(&arena, &bytes, &count);
    CHECK_EQ(count, 1);
    pcn_block_take_over(&arena, blocks[0]);
    pcn_object_release(&arena, first);
    pcn_block_totals(&arena, &bytes, &count);
    CHECK_EQ(count, 1); /* it is ours now */
}

static void many_are_possible(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    enum { MANY = 3000 };
    static uint32_t holds[MANY];
    for (int i = 0; i < MANY; i++)
        make(&arena, &holds[i]);
    uint32_t high = pcn_load_relaxed32(&pcn_head(&arena)->objects_high);
    for (int i = 0; i < MANY; i++)
        pcn_object_release(&arena, holds[i]);
    for (int i = 0; i < MANY; i++)
        make(&arena, &holds[i]);
    CHECK_EQ(pcn_load_relaxed32(&pcn_head(&arena)->objects_high), high);
    CHECK_VALID(pcn_validate_arena(&arena));
}

/* ---- spots ---- */

static void *stand_and_end(void *context)
{
    struct pcn_arena *arena = context;
    struct pcn_spot *spot = pcn_spot_mine(arena, 7);
    CHECK(spot != NULL);
    CHECK(spot == pcn_spot_mine(arena, 7));
    pcn_spot_stand(arena, spot, (struct pcn_name){3, 4}, 5, "here");
    CHECK_EQ(pcn_spot_next(arena, (struct pcn_name){3, 4}, 0), 0);
    pcn_spot_leave(spot);
    CHECK_EQ(pcn_spot_next(arena, (struct pcn_name){3, 4}, 0), PCN_NO_RECORD);
    return NULL;
}

static void a_spot_ends_with_its_thread(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    for (int round = 0; round < 100; round++) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, stand_and_end, &arena), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    CHECK_EQ(pcn_load_relaxed64(&pcn_spot_at(&arena, 0)->owner), 0);
}

static void stand_for_ever(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct pcn_spot *spot = pcn_spot_mine(arena, 1);
    pcn_spot_stand(arena, spot, scene->name, 0, NULL);
    pcn_store_relaxed32(&spot->state, scene->held);
}

static void a_dead_waiter_is_swept_unless_notified(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct scene *scene = family_memory(sizeof *scene);
    uint32_t hold;
    scene->name = make(&arena, &hold);
    scene->held = PCN_SPOT_WAITING;
    CHECK(family_wait(family_fork(&arena, stand_for_ever, scene)));
    CHECK(pcn_spot_next(&arena, scene->name, 0) != PCN_NO_RECORD);
    pcn_recover_all(&arena);
    CHECK_EQ(pcn_spot_next(&arena, scene->name, 0), PCN_NO_RECORD);
    scene->held = PCN_SPOT_NOTIFIED;
    CHECK(family_wait(family_fork(&arena, stand_for_ever, scene)));
    pcn_recover_all(&arena);
    CHECK(pcn_spot_next(&arena, scene->name, 0) != PCN_NO_RECORD);
    pcn_object_release(&arena, hold);
    CHECK_EQ(pcn_spot_next(&arena, scene->name, 0), PCN_NO_RECORD);
    CHECK_EQ(pcn_load_relaxed64(&pcn_spot_at(&arena, 0)->owner), 0);
}

static const struct check_case cases[] = {
    CHECK_CASE(a_new_object_is_empty),
    CHECK_CASE(it_ends_with_its_last_hold),
    CHECK_CASE(a_pin_keeps_it_once),
    CHECK_CASE(an_entrusted_pin_goes_with_its_carrier),
    CHECK_CASE(who_arrives_unpins_what_was_entrusted),
    CHECK_CASE(names_that_never_were_are_refused),
    CHECK_CASE(a_pin_outlives_its_maker),
    CHECK_CASE(an_unsent_pin_ends_with_its_maker),
    CHECK_CASE(a_confirmed_pin_outlives_its_maker),
    CHECK_CASE(what_a_dead_holder_had_in_hand_is_told),
    CHECK_CASE(remains_go_with_the_object),
    CHECK_CASE(its_blocks_go_with_it),
    CHECK_CASE(many_are_possible),
    CHECK_CASE(a_spot_ends_with_its_thread),
    CHECK_CASE(a_dead_waiter_is_swept_unless_notified),
};
CHECK_MAIN(cases)
