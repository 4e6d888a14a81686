/* Channel, the parent's side: collect, wait.
 *
 * Whatever hands a result to its entry happens in one go under the GIL, with no Python
 * code in between that a signal handler could interrupt: no result can be lost on the way. */
#include "bind_channel.h"

#include <limits.h>
#include <string.h>

#include "bind_apart.h"
#include "bind_entry.h"
#include "bind_memory.h"
#include "bind_raised.h"
#include "platform.h"

/* Answers of a kind up to this one are outcomes; others ask for something. */
#define LAST_OUTCOME_KIND 1u

/* The engine's kind for an answer whose payload is an exception. Of a part, with PCN_PART. */
#define FAILURE_KIND 0x400u

/* ---- handing out ---- */

static int has_answer(PyObject *entry)
{
    PyObject *answer = entry_get(entry, ENTRY_ANSWER);
    if (!answer)
        return -1;
    Py_DECREF(answer);
    return answer != Py_None;
}

static int append(const Channel *self, PyObject *deque, PyObject *item)
{
    PyObject *done = PyObject_CallMethodObjArgs(deque, self->append_name, item, NULL);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* `last`: the last but the range: nanoseconds of work, or the seat that has news. */
static int append_arrival(const Channel *self, PyObject *arrivals, PyObject *entry,
                          const struct pcn_message *message, PyObject *payload, uint64_t last)
{
    PyObject *arrival =
        Py_BuildValue("(OIOKII)", entry, (unsigned)message->kind, payload,
                      (unsigned long long)last, (unsigned)message->first, (unsigned)message->end);
    int failed = arrival ? append(self, arrivals, arrival) : -1;
    Py_XDECREF(arrival);
    return failed;
}

static int set_answer(PyObject *entry, uint32_t kind, PyObject *payload, uint64_t nanoseconds)
{
    PyObject *answer = PyTuple_New(3);
    if (!answer)
        return -1;
    PyTuple_SetItem(answer, 0, PyLong_FromUnsignedLong(kind));
    PyTuple_SetItem(answer, 1, Py_NewRef(payload));
    PyTuple_SetItem(answer, 2, PyLong_FromUnsignedLongLong(nanoseconds));
    if (PyBytes_CheckExact(payload))
        PyObject_GC_UnTrack(answer); /* nothing in it could be in a circle */
    return entry_set(entry, ENTRY_ANSWER, answer);
}

/* An answer to the entry that has just left the ledger; see hand_out(). */
static int answer_entry(const Channel *self, const struct pcn_message *message, PyObject *payload,
                        PyObject *entry, PyObject *arrivals)
{
    PyObject *attend = entry_get(entry, ENTRY_ATTEND);
    if (!attend)
        return -1;
    int outcome = 1;
    if (attend == Py_True || message->kind > LAST_OUTCOME_KIND)
        outcome = append_arrival(self, arrivals, entry, message, payload, message->function);
    else if (set_answer(entry, message->kind, payload, message->function) < 0 ||
             (attend != Py_False && append(self, attend, entry) < 0))
        outcome = -1;
    Py_DECREF(attend);
    return outcome;
}

/* One result to its entry. 1: it got its answer; 0: it goes to arrivals, or nobody wants it. */
static int hand_out(const Channel *self, const struct pcn_message *message, PyObject *payload,
                    PyObject *open, PyObject *arrivals, PyObject **dropped)
{
    if (message->task == 0)
        return append_arrival(self, arrivals, Py_None, message, payload, message->worker);
    PyObject *number = PyLong_FromUnsignedLongLong(message->task);
    PyObject *entry = number ? PyDict_GetItemWithError(open, number) : NULL;
    if (!entry) {
        Py_XDECREF(number);
        return PyErr_Occurred() ? -1 : 0;
    }
    Py_INCREF(entry);
    bool is_part = message->kind & PCN_PART;
    int outcome = is_part ? 0 : PyDict_DelItem(open, number);
    Py_DECREF(number);
    if (is_part)
        outcome = append_arrival(self, arrivals, entry, message, payload, message->function);
    else if (outcome == 0)
        outcome = answer_entry(self, message, payload, entry, arrivals);
    if (Py_REFCNT(entry) == 1) { /* nobody wants it any more; its finalizers run later */
        if (!*dropped)
            *dropped = PyList_New(0);
        if (!*dropped || PyList_Append(*dropped, entry) < 0)
            outcome = -1;
    }
    Py_DECREF(entry);
    return outcome;
}

/* What a waiter can be told; all reads and writes of its word are made under the GIL. */
enum { LOOK_AGAIN = 1, RETURN = 2 };

static void tell(Channel *self, struct waiter *waiter, uint32_t what)
{
    pcn_store_relaxed32(&waiter->word, pcn_load_relaxed32(&waiter->word) | what);
    if (waiter == self->waiters)
        pcn_channel_poke(self->channel); /* the one that leads sleeps there */
    else
        pcn_futex_wake(&waiter->word, INT_MAX);
}

void wake_all_waiters(Channel *self)
{
    for (struct waiter *waiter = self->waiters; waiter; waiter = waiter->next)
        tell(self, waiter, RETURN);
}

/* Wake those, but `me`, whose entry has its answer. Asking an entry may run Python code, and
 * so other threads: they come and go meanwhile. If that fails, who waits asks, and is told; but
 * an interrupt was for this thread. */
static void wake_answered(Channel *self, const struct waiter *me, struct raised *kept)
{
    PyObject *entries = PyList_New(0);
    for (struct waiter *waiter = self->waiters; entries && waiter; waiter = waiter->next) {
        if (waiter != me && PyList_Append(entries, waiter->entry) < 0)
            Py_CLEAR(entries);
    }
    for (Py_ssize_t at = 0; entries && at < PyList_Size(entries); at++) {
        PyObject *entry = PyList_GetItem(entries, at);
        int answered = has_answer(entry);
        if (answered == 0)
            continue;
        if (answered < 0 && PyErr_ExceptionMatches(PyExc_Exception))
            PyErr_Clear();
        else if (answered < 0)
            keep_raised(kept);
        for (struct waiter *waiter = self->waiters; waiter; waiter = waiter->next) {
            if (waiter->entry == entry && waiter != me && !self->released)
                tell(self, waiter, LOOK_AGAIN);
        }
    }
    if (!entries)
        PyErr_Clear(); /* no memory: they look by themselves, after a while */
    Py_XDECREF(entries);
}

/* Copy a block's content out, and free it. Who lets the GIL go for that has results in hand, and
 * lets nobody else collect meanwhile: each entry gets its answers in order. */
static void copy_out(Channel *self, struct pcn_arena *arena, void *to,
                     const struct pcn_message *message)
{
    const void *from = pcn_block_bytes(arena, message->block);
    if (message->length < LONG_COPY) {
        memcpy(to, from, message->length);
        pcn_block_free(arena, message->block, false, true);
        return;
    }
    pcn_store_relaxed32(&self->collecting, 1);
    if (self->collects_garbage)
        PyGC_Enable();
    Py_BEGIN_ALLOW_THREADS
    memcpy(to, from, message->length);
    pcn_block_free(arena, message->block, false, true);
    Py_END_ALLOW_THREADS
    if (self->collects_garbage)
        self->collects_garbage = PyGC_Disable();
    pcn_store_relaxed32(&self->collecting, 0);
    pcn_futex_wake(&self->collecting, INT_MAX);
}

static bool interpreter_ends(void)
{
    PyObject *ask = PySys_GetObject("is_finalizing");
    PyObject *answer = ask ? PyObject_CallNoArgs(ask) : NULL;
    bool ends = answer == Py_True;
    Py_XDECREF(answer);
    PyErr_Clear();
    return ends;
}

/* Wait while another thread is at it. -1 if a signal handler raised. */
static int wait_for_collector(Channel *self)
{
    while (pcn_load_relaxed32(&self->collecting) && !interpreter_ends()) {
        Py_BEGIN_ALLOW_THREADS
        pcn_futex_wait(&self->collecting, 1, STEP_NS);
        Py_END_ALLOW_THREADS
        if (PyErr_CheckSignals() < 0)
            return -1;
    }
    return 0;
}

static PyObject *payload_of(Channel *self, struct pcn_arena *arena, struct pcn_message *message,
                            const void *inlined)
{
    if (!message->block)
        return PyBytes_FromStringAndSize(inlined, (Py_ssize_t)message->length);
    PyObject *payload;
    void *to = NULL;
    if (message->kind & PCN_APART) {
        message->kind &= ~PCN_APART;
        payload = apart_arrived(arena, &message->block, message->length);
        to = payload && message->block ? PyByteArray_AsString(payload) : NULL;
    } else {
        payload = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)message->length);
        to = payload ? PyBytes_AsString(payload) : NULL;
    }
    if (to)
        copy_out(self, arena, to, message);
    else if (message->block)
        pcn_block_free(arena, message->block, false, true);
    return payload;
}

/* A payload for which there is no memory: what was raised stands for it, and is its entry's. */
static PyObject *failure_of(struct pcn_message *message)
{
    if (message->task != 0)
        message->kind = FAILURE_KIND | (message->kind & PCN_PART);
    return take_exception();
}

/* Hand out all that is in the ring now; no Python code runs before that is done. To be called
 * between channel_enter() and channel_leave(), for then some does. */
static int collect(Channel *self, PyObject *open, PyObject *arrivals, const struct waiter *me)
{
    struct pcn_arena *arena = family_arena();
    if (!arena || !channel_is_parent(self) || wait_for_collector(self) < 0)
        return -1;
    if (!pcn_channel_has_news(self->channel))
        return 0;
    struct raised kept = {NULL, NULL, NULL}; /* to be raised when all is handed out */
    bool answered = false;
    uint64_t used;
    PyObject *dropped = NULL;
    /* A collection now could run somebody's finalizer, and that come in here again. */
    self->collects_garbage = PyGC_Disable();
    while (!kept.type && pcn_channel_collect(arena, self->channel, self->scratch, COLLECT_ROOM,
                                             &used, false) == PCN_OK) {
        for (uint64_t at = 0; at < used;) {
            struct pcn_message message;
            memcpy(&message, self->scratch + at, sizeof message);
            uint64_t length = sizeof message + (message.block ? 0 : message.length);
            PyObject *payload =
                payload_of(self, arena, &message, self->scratch + at + sizeof message);
            if (!payload)
                payload = failure_of(&message);
            int outcome = hand_out(self, &message, payload, open, arrivals, &dropped);
            Py_DECREF(payload);
            if (outcome < 0)
                keep_raised(&kept);
            answered |= outcome > 0;
            at += (length + 7u) & ~(uint64_t)7u;
        }
    }
    if (self->collects_garbage)
        PyGC_Enable();
    Py_XDECREF(dropped);
    if (answered && self->waiters && (self->waiters != me || me->next))
        wake_answered(self, me, &kept);
    return raise_kept(&kept);
}

PyObject *channel_collect(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || !PyDict_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "collect(open, arrivals)");
        return NULL;
    }
    if (!self->block || self->released)
        Py_RETURN_NONE; /* all entries got their answers before */
    channel_enter(self);
    int failed = collect(self, args[0], args[1], NULL);
    channel_leave(self);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- waiting ---- */

static void enlist(Channel *self, struct waiter *me)
{
    struct waiter **place = &self->waiters;
    bool over_the_leader = *place && pthread_equal((*place)->thread, me->thread);
    while (*place && !over_the_leader)
        place = &(*place)->next;
    me->next = *place;
    *place = me;
}

static void delist(Channel *self, struct waiter *me)
{
    struct waiter **link = &self->waiters;
    while (*link != me)
        link = &(*link)->next;
    bool led = link == &self->waiters;
    *link = me->next;
    if (led && self->waiters) {
        /* It leads from now on; it still sleeps on its own word. */
        pcn_store_relaxed32(&self->waiters->word,
                            pcn_load_relaxed32(&self->waiters->word) | LOOK_AGAIN);
        pcn_futex_wake(&self->waiters->word, INT_MAX);
    }
}

/* Sleep until there may be something new, without the GIL. */
static void sleep_once(Channel *self, struct waiter *me, uint32_t pokes, uint64_t left)
{
    uint64_t step = left < STEP_NS ? left : STEP_NS;
    bool leads = self->waiters == me;
    Py_BEGIN_ALLOW_THREADS
    if (leads)
        pcn_channel_wait_news(self->channel, pokes, step);
    else
        pcn_futex_wait(&me->word, 0, step);
    Py_END_ALLOW_THREADS
}

/* `wakes`: their number when the caller last looked for something to do. */
static PyObject *wait_for(Channel *self, struct waiter *me, PyObject *open, PyObject *arrivals,
                          uint64_t span, uint32_t wakes)
{
    uint64_t began = span == UINT64_MAX || span == 0 ? 0 : pcn_now_ns();
    uint64_t left = span;
    for (;;) {
        if (!self->block || self->released)
            Py_RETURN_NONE; /* all entries got their answers before */
        uint32_t told = pcn_load_relaxed32(&me->word);
        pcn_store_relaxed32(&me->word, 0);
        uint32_t pokes = pcn_channel_pokes(self->channel);
        if (collect(self, open, arrivals, me) < 0)
            return NULL;
        int answered = has_answer(me->entry);
        Py_ssize_t waiting = answered < 0 ? -1 : PyObject_Size(arrivals);
        if (waiting < 0)
            return NULL;
        if (answered)
            Py_RETURN_TRUE;
        if (waiting > 0 || told & RETURN || self->wakes != wakes || self->released)
            Py_RETURN_NONE;
        if (left == 0)
            Py_RETURN_FALSE;
        sleep_once(self, me, pokes, left);
        if (PyErr_CheckSignals() < 0)
            return NULL;
        if (span != UINT64_MAX) {
            uint64_t gone = pcn_now_ns() - began;
            left = gone >= span ? 0 : span - gone;
        }
    }
}

PyObject *channel_wait(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    uint64_t span;
    unsigned long long wakes;
    if ((count != 4 && count != 5) || !PyDict_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "wait(entry, open, arrivals, timeout, wakes)");
        return NULL;
    }
    wakes = self->wakes;
    if (timeout_argument(args[3], &span) < 0 ||
        (count == 5 && unsigned_argument(args[4], &wakes) < 0))
        return NULL;
    if (!self->block || self->released)
        Py_RETURN_NONE; /* all entries got their answers before */
    struct pcn_arena *arena = family_arena();
    if (!arena || !channel_is_parent(self))
        return NULL;
    struct waiter me = {.entry = args[0], .thread = pthread_self()};
    channel_enter(self);
    enlist(self, &me);
    PyObject *result = wait_for(self, &me, args[1], args[2], span, (uint32_t)wakes);
    delist(self, &me);
    channel_leave(self);
    return result;
}

PyObject *channel_wake(Channel *self, PyObject *entry)
{
    struct pcn_arena *arena = family_arena();
    if (!arena)
        return NULL;
    if (!self->block || self->released || !channel_is_ours(self))
        Py_RETURN_NONE;
    self->wakes++; /* for who looked before this, and does not wait yet */
    for (struct waiter *waiter = self->waiters; waiter; waiter = waiter->next) {
        if (waiter->entry == entry)
            tell(self, waiter, RETURN);
    }
    Py_RETURN_NONE;
}

PyObject *channel_wakes(Channel *self, PyObject *ignored)
{
    (void)ignored;
    return PyLong_FromUnsignedLong(self->wakes);
}

/* ---- the cold path ---- */

PyObject *channel_close(Channel *self, PyObject *ignored)
{
    (void)ignored;
    if (!self->block || self->released)
        Py_RETURN_NONE;
    pcn_channel_close(self->channel);
    Py_RETURN_NONE;
}
