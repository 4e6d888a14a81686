/* Channel, the worker's side: run the items of a claim, keep their outcomes, answer. */
#include "bind_channel.h"

#include <string.h>

#include "bind_apart.h"
#include "bind_raised.h"

struct run {
    Channel *channel;
    struct pcn_arena *arena;
    struct pcn_claim *claim;
    PyObject *encode, *encode_error;
    uint8_t *area;
    uint32_t item;  /* that is begun */
    uint32_t first; /* items [first, item) have their outcomes in the area, */
    uint32_t bytes; /* in so many bytes */
};

static int send_outcomes(const struct run *run, uint32_t kind, uint32_t first, uint32_t end,
                         const struct pcn_part *parts, uint32_t count)
{
    struct pcn_message message = {.task = pcn_load_relaxed64(&run->claim->task),
                                  .kind = kind,
                                  .first = first,
                                  .end = end};
    return send_result(run->channel, run->arena, &message, parts, count);
}

/* Send what is in the area: the outcomes of items before `end`. */
static int flush(struct run *run, uint32_t end)
{
    const struct pcn_part part = {run->area, run->bytes};
    if (run->bytes == 0)
        return 0;
    if (send_outcomes(run, PCN_OUTCOMES | PCN_PART, run->first, end, &part, 1) < 0)
        return -1;
    run->first = end;
    run->bytes = 0;
    pcn_claim_finish(run->claim, end, end, 0);
    return 0;
}

/* Keep the item's outcome: in the area, or as a part of its own if it is too large. */
static int put(struct run *run, char tag, const char *content, uint64_t length)
{
    uint64_t room = PCN_INLINE_LIMIT - run->bytes;
    uint64_t need = OUTCOME_HEAD + length;
    if (need > room && flush(run, run->item) < 0)
        return -1;
    if (need > PCN_INLINE_LIMIT) {
        uint8_t head[OUTCOME_HEAD];
        outcome_head(tag, length, head);
        const struct pcn_part parts[] = {{head, sizeof head}, {content, length}};
        if (send_outcomes(run, PCN_OUTCOMES | PCN_PART, run->item, run->item + 1, parts, 2) < 0)
            return -1;
        run->first = run->item + 1;
        return 0;
    }
    outcome_head(tag, length, run->area + run->bytes);
    memcpy(run->area + run->bytes + OUTCOME_HEAD, content, length);
    run->bytes += (uint32_t)need;
    return 0;
}

static int put_bytes(struct run *run, char tag, PyObject *encoded)
{
    char *content;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(encoded, &content, &length) < 0)
        return -1;
    return put(run, tag, content, (uint64_t)length);
}

/* The same for (body, parts): a part of its own, whose payload is that and no outcome. */
static int put_apart(struct run *run, PyObject *pair)
{
    struct apart apart;
    if (apart_hold_pair(&apart, pair) < 0)
        return -1;
    int failed = flush(run, run->item);
    if (!failed) {
        struct pcn_message message = {.task = pcn_load_relaxed64(&run->claim->task),
                                      .kind = PCN_OUTCOMES | PCN_PART,
                                      .first = run->item,
                                      .end = run->item + 1};
        failed = send_apart(run->channel, run->arena, &message, &apart);
    }
    if (!failed)
        run->first = run->item + 1;
    apart_release(&apart);
    return failed;
}

/* Whether what was raised while a result was encoded or sent is that item's own affair: it is no
 * bytes, nor buffers, or there is no room for them. */
static bool is_of_the_item(void)
{
    return PyErr_ExceptionMatches(PyExc_MemoryError) || PyErr_ExceptionMatches(PyExc_TypeError) ||
           PyErr_ExceptionMatches(PyExc_BufferError) || PyErr_ExceptionMatches(PyExc_ValueError);
}

/* It is no item's outcome, says encode_error(), but somebody else's affair; of what was done before
 * nothing is lost. */
static int give_up(struct run *run)
{
    struct raised raised = {NULL, NULL, NULL};
    keep_raised(&raised);
    if (!is_fork_of_worker(run->channel) && flush(run, run->item) < 0)
        keep_raised(&raised);
    return raise_kept(&raised);
}

/* What was raised is the item's outcome. */
static int put_error(struct run *run)
{
    PyObject *error = take_exception();
    PyObject *encoded = PyObject_CallFunctionObjArgs(run->encode_error, error, NULL);
    Py_DECREF(error);
    if (!encoded)
        return give_up(run);
    int failed = put_bytes(run, ERROR_TAG, encoded);
    Py_DECREF(encoded);
    return failed;
}

/* 0: it is kept; 1: it could not be encoded, which is the item's outcome now; -1. */
static int put_value(struct run *run, PyObject *value)
{
    uint32_t simple = simple_outcome(value, run->area + run->bytes);
    run->bytes += simple;
    if (simple)
        return 0;
    PyObject *encoded = PyObject_CallFunctionObjArgs(run->encode, value, NULL);
    if (!encoded)
        return put_error(run) < 0 ? -1 : 1;
    int failed = PyTuple_Check(encoded) ? put_apart(run, encoded)
                                        : put_bytes(run, PICKLED_TAG, encoded);
    Py_DECREF(encoded);
    if (failed && is_of_the_item())
        return put_error(run) < 0 ? -1 : 1;
    return failed;
}

/* The item's outcome is kept: as above. `value`: what was returned, or NULL with an exception.
 * Takes the reference. */
static int keep(struct run *run, PyObject *value)
{
    int outcome = 1;
    if (value) {
        outcome = put_value(run, value);
        Py_DECREF(value);
    } else {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_RuntimeError, "there is no item %u: the chunk's items ended early",
                         run->item);
        if (put_error(run) < 0)
            outcome = -1;
    }
    if (outcome < 0)
        return -1;
    pcn_claim_finish(run->claim, run->item + 1, run->first, run->bytes);
    /* So that the next one has room while it runs, if it is simple. */
    if (run->bytes > PCN_INLINE_LIMIT - SIMPLE_OUTCOME && flush(run, run->item + 1) < 0)
        return -1;
    return outcome;
}

static void park(const struct run *run)
{
    Py_BEGIN_ALLOW_THREADS
    pcn_claim_park(run->claim);
    Py_END_ALLOW_THREADS
}

/* Run all items of the claim. Returns the end of those that were, or -1. */
static int64_t run_items(struct run *run, PyObject *calls, bool stop_at_error, bool timed)
{
    /* Not PyIter_Next(): a StopIteration of the function's own is no end. */
    iternextfunc next = (iternextfunc)PyType_GetSlot(Py_TYPE(calls), Py_tp_iternext);
    int64_t end = run->item;
    for (;;) {
        enum pcn_status status = pcn_claim_begin(run->claim, timed, &run->item);
        if (status == PCN_EMPTY)
            return end;
        if (status == PCN_BUSY) {
            park(run);
            continue;
        }
        run->channel->in_task = true;
        PyObject *value = next(calls);
        run->channel->in_task = false;
        if (is_fork_of_worker(run->channel)) {
            if (value || !PyErr_Occurred()) /* else what was raised ends it */
                end_if_forked(run->channel);
            Py_XDECREF(value);
            return -1;
        }
        int outcome = keep(run, value);
        if (outcome < 0)
            return -1;
        end = (int64_t)run->item + 1;
        if (outcome == 1 && stop_at_error) {
            pcn_claim_cut(run->claim);
            return end;
        }
    }
}

static int find_maps(Channel *self)
{
    if (self->map && self->starmap)
        return 0;
    PyObject *builtins = PyImport_ImportModule("builtins");
    PyObject *itertools = PyImport_ImportModule("itertools");
    if (builtins && !self->map)
        self->map = PyObject_GetAttrString(builtins, "map");
    if (itertools && !self->starmap)
        self->starmap = PyObject_GetAttrString(itertools, "starmap");
    Py_XDECREF(builtins);
    Py_XDECREF(itertools);
    return self->map && self->starmap ? 0 : -1;
}

static int find_area(struct run *run)
{
    enum pcn_status status = pcn_channel_area(run->arena, run->channel->channel,
                                              run->channel->worker, &run->area, false);
    if (status == PCN_BUSY) {
        Py_BEGIN_ALLOW_THREADS
        status = pcn_channel_area(run->arena, run->channel->channel, run->channel->worker,
                                  &run->area, true);
        Py_END_ALLOW_THREADS
    }
    if (status != PCN_OK)
        raise_status(status);
    return status == PCN_OK ? 0 : -1;
}

PyObject *channel_run(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 7) {
        PyErr_SetString(PyExc_TypeError, "run(function, items, star, stop_at_error, timed, encode, "
                                         "encode_error)");
        return NULL;
    }
    if (end_if_forked(self) < 0)
        return NULL;
    struct pcn_arena *arena = family_arena();
    if (!arena || !channel_is_open(self))
        return NULL;
    int star = PyObject_IsTrue(args[2]);
    int stop_at_error = PyObject_IsTrue(args[3]);
    int timed = PyObject_IsTrue(args[4]);
    if (star < 0 || stop_at_error < 0 || timed < 0 || find_maps(self) < 0)
        return NULL;
    struct pcn_claim *claim = &self->channel->claims[self->worker];
    struct pcn_progress progress = pcn_progress_of(pcn_load_relaxed64(&claim->done));
    struct run run = {.channel = self,
                      .arena = arena,
                      .claim = claim,
                      .encode = args[5],
                      .encode_error = args[6],
                      .item = progress.done,
                      .first = progress.done};
    if (find_area(&run) < 0)
        return NULL;
    PyObject *calls =
        PyObject_CallFunctionObjArgs(star ? self->starmap : self->map, args[0], args[1], NULL);
    if (calls && !PyIter_Check(calls)) { /* somebody has put his own in its place */
        PyErr_Format(PyExc_TypeError, "%s() returned no iterator, but %R",
                     star ? "itertools.starmap" : "map", calls);
        Py_CLEAR(calls);
    }
    if (!calls)
        return NULL;
    int64_t end = run_items(&run, calls, stop_at_error, timed);
    Py_DECREF(calls);
    if (end < 0)
        return NULL;
    const struct pcn_part part = {run.area, run.bytes};
    if (send_outcomes(&run, PCN_OUTCOMES, run.first, (uint32_t)end, &part, 1) < 0)
        return NULL;
    end_claim(self);
    Py_RETURN_NONE;
}

PyObject *channel_guarded(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "guarded(function, args, kwds)");
        return NULL;
    }
    if (!channel_is_open(self))
        return NULL;
    self->in_task = true;
    PyObject *value = PyObject_Call(args[0], args[1], args[2]);
    self->in_task = false;
    return value;
}

PyObject *channel_stop_asked(Channel *self, PyObject *ignored)
{
    (void)ignored;
    if (!self->in_task || !self->block || self->released || is_fork_of_worker(self))
        Py_RETURN_FALSE;
    return PyBool_FromLong(pcn_claim_stop_asked(&self->channel->claims[self->worker]));
}
