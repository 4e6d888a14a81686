/* Event: a flag in the arena; and what it has in common with conditions and barriers. */
#include "bind_waits.h"

#include "event.h"

/* ---- in common ---- */

int deadline_of(PyObject *timeout, uint64_t *deadline)
{
    uint64_t span;
    if (timeout_argument(timeout, &span) < 0)
        return -1;
    uint64_t now = span == UINT64_MAX ? 0 : pcn_now_ns();
    *deadline = span > UINT64_MAX - now ? UINT64_MAX : now + span;
    return 0;
}

PyObject *timeout_given(PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t named = names ? PyTuple_Size(names) : 0;
    if (count + named > 1) {
        PyErr_Format(PyExc_TypeError, "wait() takes at most 1 argument (%zd given)",
                     count + named);
        return NULL;
    }
    if (named == 1 &&
        PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, 0), "timeout") != 0) {
        PyErr_Format(PyExc_TypeError, "wait() got an unexpected keyword argument '%U'",
                     PyTuple_GetItem(names, 0));
        return NULL;
    }
    return count + named == 1 ? args[0] : Py_None;
}

int deadline_argument(PyObject *const *args, Py_ssize_t count, PyObject *names,
                      uint64_t *deadline)
{
    PyObject *timeout = timeout_given(args, count, names);
    return timeout ? deadline_of(timeout, deadline) : -1;
}

PyObject *waits_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)args; /* __init__ reads them */
    (void)keywords;
    return PyType_GenericAlloc(type, 0);
}

void waits_free(PyObject *self)
{
    handle_drop((struct handle *)self);
    free_object(self);
}

/* ---- the event ---- */

static enum pcn_status set_up(struct pcn_arena *arena, struct handle *handle)
{
    (void)arena; /* all zero is one that is not set */
    (void)handle;
    return PCN_OK;
}

static const struct handle_kind event_kind = {.kind = PCN_EVENT, .set_up = set_up};

static struct pcn_event *event_of(PyObject *self)
{
    struct handle *handle = (struct handle *)self;
    const struct pcn_arena *arena = handle_arena(handle);
    return arena ? handle_body(arena, handle) : NULL;
}

static PyObject *event_is_set(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    const struct pcn_event *event = event_of(self);
    return event ? PyBool_FromLong(pcn_event_is_set(event)) : NULL;
}

static PyObject *event_set(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_event *event = event_of(self);
    if (!event)
        return NULL;
    pcn_event_set(event);
    Py_RETURN_NONE;
}

static PyObject *event_clear(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_event *event = event_of(self);
    if (!event)
        return NULL;
    pcn_event_clear(event);
    Py_RETURN_NONE;
}

/* Sleep in bounded steps. A signal handler may do anything: even fork, and come back here. */
static PyObject *sleep_for_it(struct handle *handle, struct pcn_arena *arena, uint32_t ticket,
                              uint64_t deadline)
{
    const uint64_t began = pcn_now_ns();
    for (;;) {
        struct pcn_event *event = handle_body(arena, handle);
        struct pcn_spot *spot = pcn_spot_mine(arena, this_thread());
        uint64_t now = pcn_now_ns();
        if (now >= deadline)
            Py_RETURN_FALSE;
        pcn_spot_stand(arena, spot, handle->name, spot_op(deadline), place_of_caller(handle));
        pcn_spot_backdate(spot, began);
        enum pcn_status status;
        Py_BEGIN_ALLOW_THREADS
        status = pcn_event_sleep(event, ticket, deadline - now);
        Py_END_ALLOW_THREADS
        pcn_spot_leave(spot);
        if (status == PCN_OK)
            Py_RETURN_TRUE;
        if (PyErr_CheckSignals() < 0 || !(arena = handle_arena(handle)))
            return NULL;
    }
}

static PyObject *event_wait(PyObject *self, PyObject *const *args, Py_ssize_t count,
                            PyObject *names)
{
    struct handle *handle = (struct handle *)self;
    uint64_t deadline;
    struct pcn_arena *arena = handle_arena(handle);
    if (!arena || deadline_argument(args, count, names, &deadline) < 0)
        return NULL;
    struct pcn_event *event = handle_body(arena, handle);
    uint32_t ticket = pcn_event_ticket(event);
    if (pcn_event_came(event, ticket))
        Py_RETURN_TRUE;
    if (has_a_moment(deadline)) {
        bool came;
        Py_BEGIN_ALLOW_THREADS
        came = pcn_event_spin(event, ticket);
        Py_END_ALLOW_THREADS
        if (came)
            Py_RETURN_TRUE;
    }
    return sleep_for_it(handle, arena, ticket, deadline);
}

static int event_init(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {NULL};
    struct handle *handle = (struct handle *)self;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "", names))
        return -1;
    return handle->kind ? 0 : handle_create(handle, &event_kind);
}

static PyObject *event_arrive(PyObject *self, PyObject *tuple)
{
    if (handle_arrive((struct handle *)self, &event_kind, tuple) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef event_methods[] = {
    {"is_set", event_is_set, METH_NOARGS, "is_set(): whether it is set."},
    {"set", event_set, METH_NOARGS, "set(): set it, and wake all who wait for it."},
    {"clear", event_clear, METH_NOARGS, "clear(): set it no more."},
    {"wait", WAIT_METHOD(event_wait), METH_FASTCALL | METH_KEYWORDS,
     "wait(timeout=None): wait until it is set, at most `timeout` seconds; whether it was set "
     "meanwhile, though perhaps not any more."},
    {"_travel", handle_travel_method, METH_NOARGS, "What is pickled of it, for arrive()."},
    {"__reduce__", handle_reduce_method, METH_NOARGS, "For pickle: a handle on the same event."},
    {"_arrive", event_arrive, METH_O, "Become a handle on what travelled."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot event_slots[] = {
    {Py_tp_new, waits_new},
    {Py_tp_init, event_init},
    {Py_tp_dealloc, waits_free},
    {Py_tp_methods, event_methods},
    {Py_tp_doc, "Event(): a flag shared by processes, to wait for."},
    {0, NULL},
};

PyType_Spec event_spec = {
    .name = "procession._core.binding.Event",
    .basicsize = sizeof(struct handle),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = event_slots,
};
