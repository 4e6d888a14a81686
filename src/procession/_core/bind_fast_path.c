/* FastPath: sends single calls in one step, the parent's side. It does all of a call or nothing:
 * what is not simple, for whatever reason, takes the long way, which says why.
 *
 * What is sent is in the ring and in the ledger, or in neither; and what is made here is sent only
 * while the pool takes work. No Python code runs between the questions and the sending. */
#include "bind_channel.h"

#include <stddef.h>
#include <structmember.h>

#include "bind_entry.h"
#include "bind_ledger.h"
#include "bind_memory.h"
#include "bind_plain.h"
#include "platform.h"

#define TRIES 100 /* a ring is held for a fraction of a microsecond */

struct fast_path {
    PyObject_HEAD
    Channel *channel;
    PyObject *ledger;
    PyObject *by_name; /* dict: published functions that no question is to be asked of, by id() */
    PyObject *plain;   /* options that were seen to be plain; NULL: none yet */
    char is_running, is_shrunk;
};

/* ---- sending */

/* Two integers of a tuple: the function's number and code. */
static int name_function(struct pcn_message *message, PyObject *sent)
{
    unsigned long long number, code;
    if (!PyTuple_Check(sent) || PyTuple_Size(sent) != 2) {
        PyErr_SetString(PyExc_TypeError, "a published function is two numbers");
        return -1;
    }
    if (unsigned_argument(PyTuple_GetItem(sent, 0), &number) < 0 ||
        unsigned_argument(PyTuple_GetItem(sent, 1), &code) < 0)
        return -1;
    message->function = number;
    message->code = (uint32_t)code;
    return 0;
}

/* Whether it is in the ring; if not, somebody has that for longer than it takes, or it is full. */
static bool push(const struct fast_path *self, struct pcn_arena *arena,
                 struct pcn_message *message, PyObject *payload, uint64_t *position)
{
    enum pcn_status status = PCN_BUSY;
    for (int tries = 0; tries < TRIES && status == PCN_BUSY; tries++) {
        if (tries > 0)
            pcn_relax();
        status = pcn_channel_submit(arena, self->channel->channel, message,
                                    PyBytes_AsString(payload), false, position);
    }
    return status == PCN_OK;
}

/* The entry is in the ledger before anybody can answer, and only if it is sent. */
static int enter_and_push(const struct fast_path *self, struct pcn_arena *arena, PyObject *entry,
                          PyObject *number, struct pcn_message *message, PyObject *payload)
{
    PyObject *open = ledger_open(self->ledger);
    uint64_t position = 0;
    if (!self->channel->block || self->channel->released)
        return 0; /* the pool has ended */
    if (PyDict_SetItem(open, number, entry) < 0)
        return -1;
    if (!push(self, arena, message, payload, &position)) {
        if (PyDict_DelItem(open, number) < 0)
            PyErr_Clear();
        return 0;
    }
    if (entry_set(entry, ENTRY_BLOCK, PyLong_FromLong(0)) < 0 ||
        entry_set(entry, ENTRY_POSITION, PyLong_FromUnsignedLongLong(position + 1)) < 0)
        return -1;
    return 1;
}

/* 1: it is sent; 0: it is not, for want of room or of a pool; -1. */
static int send_now(const struct fast_path *self, PyObject *entry, PyObject *sent,
                    PyObject *payload)
{
    struct pcn_message message = {.length = (uint64_t)PyBytes_Size(payload), .end = 1};
    struct pcn_arena *arena = family_arena();
    if (!arena || name_function(&message, sent) < 0)
        return -1;
    message.task = ledger_next_number(self->ledger);
    PyObject *number = PyLong_FromUnsignedLongLong(message.task);
    int outcome = -1;
    if (entry_set(entry, ENTRY_NUMBER, Py_XNewRef(number)) == 0 &&
        entry_set(entry, ENTRY_KIND, PyLong_FromLong(0)) == 0 &&
        entry_set(entry, ENTRY_SENT, Py_NewRef(sent)) == 0 &&
        entry_set(entry, ENTRY_PAYLOAD, Py_NewRef(payload)) == 0)
        outcome = enter_and_push(self, arena, entry, number, &message, payload);
    Py_XDECREF(number);
    return outcome;
}

/* ---- an entry that is there already */

/* Bytes; False: there is something large in them; None: they are not simply pickled. */
static PyObject *pickled_arguments(PyObject *arguments)
{
    PyObject *payload = quick_pickle(arguments);
    if (payload == Py_None) {
        Py_DECREF(payload);
        Py_RETURN_FALSE;
    }
    if (payload || !is_pickles_refusal())
        return payload;
    PyErr_Clear(); /* who takes the longer way is told again */
    Py_RETURN_NONE;
}

static PyObject *fast_path_send(struct fast_path *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "send(entry, sent, arguments)");
        return NULL;
    }
    PyObject *payload = pickled_arguments(args[2]);
    if (!payload || !PyBytes_Check(payload) ||
        PyBytes_Size(payload) > (Py_ssize_t)PCN_INLINE_LIMIT)
        return payload;
    int sent = channel_is_parent(self->channel) ? send_now(self, args[0], args[1], payload) : -1;
    if (sent == 0)
        return payload;
    Py_DECREF(payload);
    if (sent < 0)
        return NULL;
    Py_RETURN_TRUE;
}

/* ---- one that is made */

struct call {
    PyTypeObject *kind;
    PyObject *owner, *function, *options, *args, *kwds;
};

/* 1, 0, or -1. */
static int are_plain(struct fast_path *self, PyObject *options)
{
    if (options == self->plain)
        return 1;
    PyObject *answer = PyObject_GetAttrString(options, "is_plain");
    if (!answer)
        return -1;
    int plain = answer == Py_True;
    Py_DECREF(answer);
    if (plain) {
        PyObject *before = self->plain;
        self->plain = Py_NewRef(options);
        Py_XDECREF(before);
    }
    return plain;
}

/* What the workers know the function by; NULL: it is not that simple, or there is an exception. */
static PyObject *find(const struct fast_path *self, PyObject *function)
{
    PyObject *id = PyLong_FromVoidPtr(function);
    PyObject *sent = id ? PyDict_GetItemWithError(self->by_name, id) : NULL;
    Py_XDECREF(id);
    return Py_XNewRef(sent);
}

static PyObject *pickled(const struct call *call)
{
    PyObject *both = PyTuple_Pack(2, call->args, call->kwds);
    PyObject *payload = both ? plain_pickle(both) : NULL;
    Py_XDECREF(both);
    return payload;
}

/* The entry; NULL: it is not that simple, or there is an exception. */
static PyObject *make(struct fast_path *self, const struct call *call)
{
    if (!self->is_running || !channel_is_ours(self->channel) || !PyTuple_CheckExact(call->args) ||
        !PyDict_CheckExact(call->kwds) || are_plain(self, call->options) <= 0)
        return NULL;
    PyObject *sent = find(self, call->function);
    PyObject *payload = sent ? pickled(call) : NULL;
    PyObject *entry =
        payload ? entry_make(call->kind, call->owner, call->function, call->options) : NULL;
    /* Asked last: garbage that was collected meanwhile may have ended the pool. */
    if (entry && (!self->is_running || self->is_shrunk ||
                  send_now(self, entry, sent, payload) <= 0))
        Py_CLEAR(entry);
    Py_XDECREF(sent);
    Py_XDECREF(payload);
    return entry;
}

static PyObject *fast_path_make(struct fast_path *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 6 || !PyType_Check(args[0]) ||
        !PyType_IsSubtype((PyTypeObject *)args[0], entry_type)) {
        PyErr_SetString(PyExc_TypeError, "make(kind, owner, function, options, args, kwds)");
        return NULL;
    }
    const struct call call = {(PyTypeObject *)args[0], args[1], args[2],
                              args[3], args[4], args[5]};
    PyObject *entry = make(self, &call);
    if (entry || PyErr_Occurred())
        return entry;
    Py_RETURN_NONE;
}

/* ---- the type */

static PyObject *fast_path_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"", "", "", NULL};
    PyObject *channel, *ledger, *by_name;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!O!O!:FastPath", names, channel_type,
                                     &channel, ledger_type, &ledger, &PyDict_Type, &by_name))
        return NULL;
    struct fast_path *self = (struct fast_path *)PyType_GenericAlloc(type, 0);
    if (!self)
        return NULL;
    self->channel = (Channel *)Py_NewRef(channel);
    self->ledger = Py_NewRef(ledger);
    self->by_name = Py_NewRef(by_name);
    return (PyObject *)self;
}

static int fast_path_traverse(struct fast_path *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->channel);
    Py_VISIT(self->ledger);
    Py_VISIT(self->by_name);
    Py_VISIT(self->plain);
    return 0;
}

static void fast_path_dealloc(struct fast_path *self)
{
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->channel);
    Py_CLEAR(self->ledger);
    Py_CLEAR(self->by_name);
    Py_CLEAR(self->plain);
    free_object((PyObject *)self);
}

static PyMemberDef fast_path_members[] = {
    {"is_running", T_BOOL, offsetof(struct fast_path, is_running), 0,
     "whether the pool takes work"},
    {"is_shrunk", T_BOOL, offsetof(struct fast_path, is_shrunk), 0,
     "whether somebody is to be told that there is work"},
    {NULL, 0, 0, 0, NULL},
};

#define METHOD_OF_IT(name, doc)                                                                    \
    {#name, (PyCFunction)(void (*)(void))fast_path_##name, METH_FASTCALL, doc}

static PyMethodDef fast_path_methods[] = {
    METHOD_OF_IT(send, "send(entry, sent, arguments): if arguments is simply pickled, number the "
                       "entry and send it; True. Else nothing is done: the pickle, where it is too "
                       "large or there is no room; False, where something in it is large; None, "
                       "where it is not so simple."),
    METHOD_OF_IT(make, "make(kind, owner, function, options, args, kwds): make a kind(owner, "
                       "function, options), which is an Entry, and send that call; the entry. None: "
                       "nothing was done, for it is not so simple: a function that the workers may "
                       "have to be told of, arguments that are not plain, options that ask for "
                       "more, no room, a pool that takes no work or is shrunk."),
    {NULL, NULL, 0, NULL},
};

static PyType_Slot fast_path_slots[] = {
    {Py_tp_new, fast_path_new},
    {Py_tp_members, fast_path_members},
    {Py_tp_methods, fast_path_methods},
    {Py_tp_traverse, fast_path_traverse},
    {Py_tp_dealloc, fast_path_dealloc},
    {Py_tp_doc, "FastPath(channel, ledger, by_name): sends single calls. `by_name` is a dict of "
                "functions, as they are named in records, by their id()."},
    {0, NULL},
};

PyType_Spec fast_path_spec = {
    .name = "procession._core.binding.FastPath",
    .basicsize = sizeof(struct fast_path),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = fast_path_slots,
};
