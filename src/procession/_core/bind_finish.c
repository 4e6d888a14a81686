/* Shutting a queue down, waiting until its objects are done with, and looking into it. */
#include "bind_queue.h"

#define JOIN_STEP_NS 10000000u /* how often a join looks after deaths */

PyObject *queue_shut(Queue *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_share share;
    if (queue_share(self, &share, false) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    pcn_queue_shut(&share);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyObject *queue_task_done(Queue *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_share share;
    unsigned turns = 0;
    enum pcn_status status;
    for (;;) {
        if (queue_share(self, &share, false) < 0)
            return NULL;
        status = pcn_queue_done(&share, false);
        if (status != PCN_BUSY)
            break;
        if (queue_give_way(&turns) < 0)
            return NULL;
    }
    if (status == PCN_OK)
        Py_RETURN_NONE;
    PyErr_SetString(PyExc_ValueError, "task_done() called too many times");
    return NULL;
}

PyObject *queue_join(Queue *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_share share;
    for (;;) {
        if (queue_share(self, &share, false) < 0)
            return NULL;
        if (pcn_queue_unfinished(share.queue) == 0)
            Py_RETURN_NONE;
        pcn_token dead;
        Py_BEGIN_ALLOW_THREADS
        dead = pcn_queue_culprit(&share);
        Py_END_ALLOW_THREADS
        if (dead)
            return raise_owner_died(&self->handle, dead);
        if (queue_sleep(self, &share, QUEUE_JOIN, UINT64_MAX, JOIN_STEP_NS, pcn_queue_wait_done) <
            0)
            return NULL;
    }
}

PyObject *queue_recover(Queue *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_share share;
    uint32_t count;
    if (queue_share(self, &share, false) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    count = pcn_queue_recover(&share);
    Py_END_ALLOW_THREADS
    return PyLong_FromUnsignedLong(count);
}

/* For tests. */
PyObject *queue_ends(Queue *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_share share;
    if (queue_share(self, &share, false) < 0)
        return NULL;
    return Py_BuildValue(
        "II", (unsigned)(pcn_load_relaxed64(&share.queue->head) >> PCN_POSITION_BITS),
        (unsigned)(pcn_load_relaxed64(&share.queue->tail) >> PCN_POSITION_BITS));
}

PyObject *queue_validate(Queue *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_share share;
    if (queue_share(self, &share, false) < 0)
        return NULL;
    const char *wrong = pcn_queue_validate(&share);
    if (!wrong)
        Py_RETURN_NONE;
    return PyUnicode_FromString(wrong);
}

PyObject *queue_takings(Queue *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_share share;
    PyObject *list = queue_share(self, &share, false) < 0 ? NULL : PyList_New(0);
    if (!list)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    pcn_queue_culprit(&share); /* it settles what the dead left half done */
    Py_END_ALLOW_THREADS
    for (uint32_t index = pcn_hold_next(share.arena, share.name, 0); index != PCN_NO_RECORD;
         index = pcn_hold_next(share.arena, share.name, index + 1)) {
        const struct pcn_hold *hold = pcn_hold_at(share.arena, index);
        uint64_t from = pcn_load_relaxed64(&hold->taking_from);
        uint64_t until = pcn_load_relaxed64(&hold->taking_until);
        PyObject *one = Py_BuildValue(
            "IOKKII", (unsigned)pcn_load_relaxed32(&hold->pid),
            pcn_hold_is_dead(share.arena, hold) ? Py_True : Py_False,
            (unsigned long long)pcn_load_relaxed64(&hold->taken),
            (unsigned long long)pcn_load_relaxed64(&hold->done),
            (unsigned)(from >> PCN_POSITION_BITS), (unsigned)(until >> PCN_POSITION_BITS));
        if (!one || PyList_Append(list, one) < 0) {
            Py_XDECREF(one);
            Py_DECREF(list);
            return NULL;
        }
        Py_DECREF(one);
    }
    return list;
}
