/* Channel, the parent's side: what its workers hold, and what it takes from them. */
#include "bind_channel.h"

#include <stdlib.h>
#include <string.h>

#include "platform.h"
#include "recover.h"

/* The claim that a seat's number names, for the parent; NULL with an exception. */
static struct pcn_claim *claim_of(const Channel *self, PyObject *seat)
{
    uint32_t number;
    struct pcn_arena *arena = family_arena();
    if (!arena || seat_argument(self, seat, &number) < 0 || !channel_is_parent(self))
        return NULL;
    return &self->channel->claims[number];
}

static int item_argument(PyObject *argument, unsigned long long *item)
{
    *item = PCN_ANY_ITEM;
    return argument == Py_None ? 0 : unsigned_argument(argument, item);
}

PyObject *channel_seat(Channel *self, PyObject *worker)
{
    uint32_t seat;
    if (seat_argument(self, worker, &seat) < 0)
        return NULL;
    const struct pcn_claim *claim = &self->channel->claims[seat];
    /* The item that runs, or else the next one. */
    uint32_t item = pcn_progress_of(pcn_load_relaxed64(&claim->done)).done;
    return Py_BuildValue("(OKIK)", pcn_load_relaxed32(&claim->busy) ? Py_True : Py_False,
                         (unsigned long long)pcn_load_relaxed64(&claim->task), (unsigned)item,
                         (unsigned long long)pcn_load_relaxed64(&claim->token));
}

PyObject *channel_seats(Channel *self, PyObject *ignored)
{
    (void)ignored;
    PyObject *all = PyList_New(0);
    if (!self->block || self->released)
        return all; /* nobody holds anything any more */
    uint32_t high = pcn_load_relaxed32(&self->channel->seats_high);
    for (uint32_t seat = 0; all && seat < high; seat++) {
        struct pcn_held held;
        if (!pcn_claim_look(&self->channel->claims[seat], &self->channel->tasks, &held))
            continue;
        PyObject *one = Py_BuildValue(
            "(IKIIIKK)", (unsigned)seat, (unsigned long long)held.task, (unsigned)held.range.begun,
            (unsigned)held.range.end, (unsigned)held.progress.done, (unsigned long long)held.since,
            (unsigned long long)held.item_since);
        if (!one || PyList_Append(all, one) < 0)
            Py_CLEAR(all);
        Py_XDECREF(one);
    }
    return all;
}

PyObject *channel_now_ns(Channel *self, PyObject *ignored)
{
    (void)self;
    (void)ignored;
    return PyLong_FromUnsignedLongLong(pcn_now_ns());
}

PyObject *channel_take_back(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    unsigned long long task, keep;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "take_back(seat, number, keep)");
        return NULL;
    }
    struct pcn_claim *claim = claim_of(self, args[0]);
    if (!claim || unsigned_argument(args[1], &task) < 0 || unsigned_argument(args[2], &keep) < 0)
        return NULL;
    uint32_t first, end;
    if (keep > PCN_MAX_ITEMS || !pcn_claim_take_back(claim, &self->channel->tasks, task,
                                                     (uint32_t)keep, &first, &end))
        Py_RETURN_NONE;
    return Py_BuildValue("(II)", (unsigned)first, (unsigned)end);
}

PyObject *channel_doom(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    unsigned long long task, item;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "doom(seat, number, item or None)");
        return NULL;
    }
    struct pcn_claim *claim = claim_of(self, args[0]);
    if (!claim || unsigned_argument(args[1], &task) < 0 || item_argument(args[2], &item) < 0)
        return NULL;
    return PyBool_FromLong(pcn_claim_doom(claim, &self->channel->tasks, task, item));
}

PyObject *channel_pardon(Channel *self, PyObject *worker)
{
    struct pcn_claim *claim = claim_of(self, worker);
    if (!claim)
        return NULL;
    pcn_claim_pardon(claim);
    Py_RETURN_NONE;
}

PyObject *channel_stop(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    unsigned long long task, item;
    if (count != 2 && count != 3) {
        PyErr_SetString(PyExc_TypeError, "stop(seat, number, item=None)");
        return NULL;
    }
    struct pcn_claim *claim = claim_of(self, args[0]);
    if (!claim || unsigned_argument(args[1], &task) < 0 ||
        item_argument(count == 3 ? args[2] : Py_None, &item) < 0)
        return NULL;
    return PyBool_FromLong(pcn_claim_stop(claim, &self->channel->tasks, task, item));
}

PyObject *channel_duty(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    uint32_t seat;
    unsigned long long what;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "duty(seat, what)");
        return NULL;
    }
    if (!claim_of(self, args[0]) || seat_argument(self, args[0], &seat) < 0 ||
        unsigned_argument(args[1], &what) < 0)
        return NULL;
    if (what > PCN_LEAVE) {
        PyErr_Format(PyExc_ValueError,
                     "there is no duty %llu: 0 is to serve, 1 to wait, 2 to leave", what);
        return NULL;
    }
    pcn_channel_duty(self->channel, seat, (enum pcn_duty)what);
    Py_RETURN_NONE;
}

/* ---- revoking ---- */

static int by_number(const void *left, const void *right)
{
    uint64_t one = *(const uint64_t *)left, other = *(const uint64_t *)right;
    return (one > other) - (one < other);
}

/* The numbers of a set, in order, in memory that PyMem_Free() frees. NULL with an exception. */
static uint64_t *sorted_numbers(PyObject *set, uint64_t *count)
{
    Py_ssize_t size = PyObject_Size(set);
    PyObject *iterator = size < 0 ? NULL : PyObject_GetIter(set);
    uint64_t *numbers = iterator ? PyMem_Malloc(((size_t)size + 1) * sizeof *numbers) : NULL;
    if (iterator && !numbers)
        PyErr_NoMemory();
    *count = 0;
    PyObject *item;
    while (numbers && *count < (uint64_t)size && (item = PyIter_Next(iterator))) {
        unsigned long long number;
        if (unsigned_argument(item, &number) == 0)
            numbers[(*count)++] = number;
        Py_DECREF(item);
        if (PyErr_Occurred())
            break;
    }
    Py_XDECREF(iterator);
    if (PyErr_Occurred()) {
        PyMem_Free(numbers);
        return NULL;
    }
    qsort(numbers, *count, sizeof *numbers, by_number);
    return numbers;
}

static PyObject *set_of(const uint64_t *numbers, const uint8_t *found, uint64_t count)
{
    PyObject *set = PySet_New(NULL);
    for (uint64_t i = 0; set && i < count; i++) {
        if (!found[i])
            continue;
        PyObject *number = PyLong_FromUnsignedLongLong(numbers[i]);
        if (!number || PySet_Add(set, number) < 0)
            Py_CLEAR(set);
        Py_XDECREF(number);
    }
    return set;
}

PyObject *channel_revoke(Channel *self, PyObject *set)
{
    if (!self->block || self->released)
        return PySet_New(NULL); /* there is no ring any more */
    struct pcn_arena *arena = family_arena();
    if (!arena || !channel_is_parent(self))
        return NULL;
    uint64_t count;
    channel_enter(self); /* what iterates may be anybody's, and release it */
    uint64_t *numbers = sorted_numbers(set, &count);
    uint8_t *found = numbers ? PyMem_Calloc(count + 1, 1) : NULL;
    if (!found) {
        channel_leave(self);
        if (numbers)
            PyErr_NoMemory();
        PyMem_Free(numbers);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    pcn_channel_revoke(arena, self->channel, numbers, count, found);
    Py_END_ALLOW_THREADS
    channel_leave(self);
    PyObject *revoked = set_of(numbers, found, count);
    PyMem_Free(numbers);
    PyMem_Free(found);
    return revoked;
}

PyObject *channel_revoke_at(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    unsigned long long number, place;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "revoke_at(number, place)");
        return NULL;
    }
    if (!self->block || self->released)
        Py_RETURN_FALSE; /* there is no ring any more */
    struct pcn_arena *arena = family_arena();
    if (!arena || !channel_is_parent(self) || unsigned_argument(args[0], &number) < 0 ||
        unsigned_argument(args[1], &place) < 0)
        return NULL;
    if (place == 0 || (place - 1) % sizeof(uint64_t) != 0)
        Py_RETURN_FALSE; /* no record begins there */
    enum pcn_status status =
        pcn_channel_revoke_at(arena, self->channel, number, place - 1, false);
    if (status == PCN_BUSY) {
        channel_enter(self);
        Py_BEGIN_ALLOW_THREADS
        status = pcn_channel_revoke_at(arena, self->channel, number, place - 1, true);
        Py_END_ALLOW_THREADS
        channel_leave(self);
    }
    return PyBool_FromLong(status == PCN_OK);
}

/* ---- burying ---- */

PyObject *channel_bury(Channel *self, PyObject *worker)
{
    uint32_t seat;
    struct pcn_arena *arena = family_arena();
    if (!arena || !claim_of(self, worker) || seat_argument(self, worker, &seat) < 0)
        return NULL;
    struct pcn_remains remains;
    uint8_t outcomes[PCN_INLINE_LIMIT];
    uint32_t bytes = 0;
    channel_enter(self);
    Py_BEGIN_ALLOW_THREADS
    remains = pcn_channel_bury(arena, self->channel, seat);
    if (remains.claimed && remains.area) {
        bytes = remains.held.progress.bytes;
        bytes = bytes < sizeof outcomes ? bytes : (uint32_t)sizeof outcomes;
        memcpy(outcomes, pcn_block_bytes(arena, remains.area), bytes);
    }
    if (remains.token)
        pcn_block_reclaim(arena, remains.token); /* the area, too */
    pcn_recover_all(arena);
    Py_END_ALLOW_THREADS
    channel_leave(self);
    if (!remains.claimed)
        Py_RETURN_NONE;
    const struct pcn_held *held = &remains.held;
    return Py_BuildValue("(KOIIIIy#)", (unsigned long long)held->task,
                         held->started ? Py_True : Py_False, (unsigned)held->range.begun,
                         (unsigned)held->range.end, (unsigned)held->progress.done,
                         (unsigned)held->progress.first, (const char *)outcomes,
                         (Py_ssize_t)bytes);
}
