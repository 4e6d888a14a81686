#include "bind_object.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct handle *bound_handles;

/* The handle that this process has on each object, by the object's index; the last one made. */
static struct handle **by_object;
static uint32_t by_object_size;

static struct handle *known(struct pcn_name name)
{
    struct handle *handle = name.object < by_object_size ? by_object[name.object] : NULL;
    return handle && handle->name.serial == name.serial ? handle : NULL;
}

/* The same, unless it is being freed: then it is known until its memory goes, and nobody's. */
static struct handle *in_use(struct pcn_name name)
{
    struct handle *handle = known(name);
    return handle && Py_REFCNT((PyObject *)handle) > 0 ? handle : NULL;
}

static int make_known(struct handle *handle)
{
    uint32_t index = handle->name.object;
    if (index >= by_object_size) {
        uint32_t size = by_object_size ? by_object_size * 2 : 256;
        while (size <= index)
            size *= 2;
        struct handle **larger = realloc(by_object, size * sizeof *larger);
        if (!larger) {
            PyErr_NoMemory();
            return -1;
        }
        memset(larger + by_object_size, 0, (size - by_object_size) * sizeof *larger);
        by_object = larger;
        by_object_size = size;
    }
    by_object[index] = handle;
    return 0;
}

static void link_in(struct handle *handle, const struct pcn_arena *arena)
{
    handle->bound = arena->me;
    handle->arena = family_number();
    handle->forks = forks_so_far();
    handle->noted_code = NULL;
    handle->previous = NULL;
    handle->next = bound_handles;
    if (bound_handles)
        bound_handles->previous = handle;
    bound_handles = handle;
}

static void link_out(struct handle *handle)
{
    if (handle->bound == 0)
        return;
    if (handle->previous)
        handle->previous->next = handle->next;
    else
        bound_handles = handle->next;
    if (handle->next)
        handle->next->previous = handle->previous;
    handle_stay_behind(handle);
    handle->bound = 0;
}

/* A new object for a handle that has none here. */
static int make_object(struct handle *handle, struct pcn_arena *arena)
{
    enum pcn_status status =
        pcn_object_create(arena, handle->kind->kind, &handle->name, &handle->hold);
    if (status == PCN_OK) {
        status = handle->kind->set_up(arena, handle);
        if (status != PCN_OK)
            pcn_object_release(arena, handle->hold);
    }
    if (status != PCN_OK) {
        raise_status(status);
        return -1;
    }
    if (make_known(handle) < 0) {
        pcn_object_release(arena, handle->hold);
        return -1;
    }
    link_in(handle, arena);
    return 0;
}

int handle_create(struct handle *handle, const struct handle_kind *kind)
{
    handle->kind = kind;
    if (family_stays_out())
        return 0; /* bound at the first use */
    struct pcn_arena *arena = family_arena();
    return arena ? make_object(handle, arena) : -1;
}

static int take_hold(struct pcn_arena *arena, struct pcn_name name, uint32_t *hold)
{
    enum pcn_status status = pcn_object_hold(arena, name, hold);
    if (status == PCN_CLOSED)
        PyErr_SetString(PyExc_RuntimeError,
                        "this shared object has ended: no process held it while it was on its "
                        "way. Keep it in the process that sends it until it has arrived");
    else if (status != PCN_OK)
        raise_status(status);
    return status == PCN_OK ? 0 : -1;
}

int handle_rebind(struct handle *handle, struct pcn_arena *arena)
{
    if (!handle->kind) {
        PyErr_Format(PyExc_RuntimeError, "this %R was not made: its __init__() was not called",
                     Py_TYPE((PyObject *)handle));
        return -1;
    }
    if (handle->bound == 0 || handle->arena != family_number()) {
        if (handle->bound != 0 && handle->kind->forked)
            handle->kind->forked(handle);
        link_out(handle);
        return make_object(handle, arena);
    }
    /* If there is no hold to be had it stays what it is: the next use says so again. */
    uint32_t hold;
    if (take_hold(arena, handle->name, &hold) < 0)
        return -1;
    link_out(handle);
    handle->hold = hold;
    by_object[handle->name.object] = handle; /* there is a place: it was known when it was bound */
    link_in(handle, arena);
    if (handle->kind->forked)
        handle->kind->forked(handle);
    return 0;
}

void handle_stay_behind(struct handle *handle)
{
    if (known(handle->name) == handle)
        by_object[handle->name.object] = NULL;
}

void handle_drop(struct handle *handle)
{
    struct pcn_arena *arena = handle->bound != 0 ? family_arena_if_joined() : NULL;
    if (arena && handle->bound == arena->me)
        release_or_keep(arena, handle);
    link_out(handle);
}

/* The pins that were made last: those of a pickling that failed are taken back. */
#define PINS_REMEMBERED 4096u
static struct {
    struct pcn_name name;
    uint32_t pin;
    uint64_t thread;
    bool unsent;
} pins[PINS_REMEMBERED];
static uint64_t pins_so_far;

/* More than 0 while this thread pickles for a road that entrusts before it publishes. */
static _Thread_local unsigned unsent;

PyObject *unsent_call(PyObject *function, PyObject *args)
{
    unsent++;
    PyObject *result = PyObject_CallObject(function, args);
    unsent--;
    return result;
}

static void remember_pin(struct pcn_arena *arena, struct pcn_name name, uint32_t pin)
{
    uint64_t place = pins_so_far++ % PINS_REMEMBERED;
    if (pins[place].unsent && pins[place].thread != 0) /* nobody is going to entrust it */
        pcn_object_confirm(arena, pins[place].name, pins[place].pin);
    pins[place].unsent = unsent != 0;
    pins[place].name = name;
    pins[place].pin = pin;
    pins[place].thread = this_thread();
}

static PyObject *pins_made(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    return PyLong_FromUnsignedLongLong(pins_so_far);
}

uint64_t pins_so_far_made(void)
{
    return pins_so_far;
}

/* Do something with each pin that this thread has made since, as far as it is remembered. */
static void for_pins_since(uint64_t since, struct pcn_arena *arena,
                           void (*what)(struct pcn_arena *arena, struct pcn_name name,
                                        uint32_t pin, struct pcn_name carrier),
                           struct pcn_name carrier)
{
    if (pins_so_far - since > PINS_REMEMBERED)
        since = pins_so_far - PINS_REMEMBERED;
    for (uint64_t number = since; number < pins_so_far; number++) {
        uint64_t place = number % PINS_REMEMBERED;
        if (pins[place].thread == this_thread()) {
            what(arena, pins[place].name, pins[place].pin, carrier);
            pins[place].unsent = false;
        }
    }
}

void forget_pins_since(uint64_t since)
{
    if (pins_so_far - since > PINS_REMEMBERED)
        since = pins_so_far - PINS_REMEMBERED;
    for (uint64_t number = since; number < pins_so_far; number++) {
        if (pins[number % PINS_REMEMBERED].thread == this_thread())
            pins[number % PINS_REMEMBERED].thread = 0;
    }
}

static void withdraw(struct pcn_arena *arena, struct pcn_name name, uint32_t pin,
                     struct pcn_name carrier)
{
    (void)carrier;
    pcn_object_unpin(arena, name, pin);
}

void withdraw_pins_since(uint64_t since)
{
    struct pcn_arena *arena = family_arena_if_joined();
    if (arena && since != pins_so_far)
        for_pins_since(since, arena, withdraw, (struct pcn_name){0, 0});
    forget_pins_since(since);
}

static PyObject *withdraw_pins(PyObject *module, PyObject *argument)
{
    (void)module;
    unsigned long long since = PyLong_AsUnsignedLongLong(argument);
    if (PyErr_Occurred())
        return NULL;
    withdraw_pins_since(since);
    Py_RETURN_NONE;
}

static PyObject *forget_pins(PyObject *module, PyObject *argument)
{
    (void)module;
    unsigned long long since = PyLong_AsUnsignedLongLong(argument);
    if (PyErr_Occurred())
        return NULL;
    forget_pins_since(since);
    Py_RETURN_NONE;
}

static PyObject *call_unsent(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *function = PyTuple_GetItem(args, 0);
    PyObject *rest = function ? PyTuple_GetSlice(args, 1, PyTuple_Size(args)) : NULL;
    PyObject *result = rest ? unsent_call(function, rest) : NULL;
    Py_XDECREF(rest);
    return result;
}

void entrust_pins_since(struct handle *carrier, uint64_t since)
{
    if (since == pins_so_far)
        return;
    struct pcn_arena *arena = handle_arena(carrier);
    struct pcn_name name = carrier->name;
    if (!arena) { /* nobody to entrust them to, and they are going to be published */
        PyErr_Clear();
        arena = family_arena_if_joined();
        name = (struct pcn_name){0, 0};
    }
    if (arena)
        for_pins_since(since, arena, pcn_object_entrust, name);
}

PyObject *handle_entrust_method(PyObject *self, PyObject *argument)
{
    unsigned long long since = PyLong_AsUnsignedLongLong(argument);
    if (PyErr_Occurred())
        return NULL;
    entrust_pins_since((struct handle *)self, since);
    Py_RETURN_NONE;
}

static PyObject *name_with(const struct handle *handle, uint32_t pin)
{
    return Py_BuildValue("IKIKKKKK", (unsigned)handle->name.object,
                         (unsigned long long)handle->name.serial, (unsigned)pin,
                         (unsigned long long)family_number(),
                         (unsigned long long)handle->parameters[0],
                         (unsigned long long)handle->parameters[1],
                         (unsigned long long)handle->parameters[2],
                         (unsigned long long)handle->parameters[3]);
}

PyObject *handle_travel(struct handle *handle)
{
    struct pcn_arena *arena = handle_arena(handle);
    if (!arena)
        return NULL;
    uint32_t pin;
    enum pcn_status status = unsent ? pcn_object_pin_unsent(arena, handle->name, &pin)
                                    : pcn_object_pin(arena, handle->name, &pin);
    if (status != PCN_OK)
        return raise_status(status);
    remember_pin(arena, handle->name, pin);
    return name_with(handle, pin);
}

PyObject *handle_name(struct handle *handle)
{
    return handle_arena(handle) ? name_with(handle, PCN_NO_RECORD) : NULL;
}

PyObject *handle_travel_method(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    return handle_travel((struct handle *)self);
}

PyObject *handle_reduce_method(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    PyObject *module = PyImport_ImportModule("procession._core.binding");
    PyObject *arrives = module ? PyObject_GetAttrString(module, "arrive") : NULL;
    PyObject *state = NULL, *reduced = NULL;
    if (arrives) {
        state = PyObject_GetAttrString(self, "__dict__");
        if (!state)
            PyErr_Clear(); /* a type without one */
        PyObject *travelled = handle_travel((struct handle *)self);
        if (travelled && state && PyObject_IsTrue(state))
            reduced = Py_BuildValue("O(ON)O", arrives, Py_TYPE(self), travelled, state);
        else if (travelled)
            reduced = Py_BuildValue("O(ON)", arrives, Py_TYPE(self), travelled);
    }
    Py_XDECREF(state);
    Py_XDECREF(arrives);
    Py_XDECREF(module);
    return reduced;
}

struct travelled {
    struct pcn_name name;
    uint32_t pin;
    uint64_t arena;
    uint64_t parameters[HANDLE_PARAMETERS];
};

static int read_travelled(PyObject *tuple, struct travelled *it)
{
    unsigned object, pin;
    unsigned long long serial, arena, p[HANDLE_PARAMETERS];
    if (!PyArg_ParseTuple(tuple, "IKIKKKKK", &object, &serial, &pin, &arena, &p[0], &p[1], &p[2],
                          &p[3]))
        return -1;
    it->name = (struct pcn_name){object, serial};
    it->pin = pin;
    it->arena = arena;
    for (int i = 0; i < HANDLE_PARAMETERS; i++)
        it->parameters[i] = p[i];
    return 0;
}

int handle_arrive(struct handle *handle, const struct handle_kind *kind, PyObject *tuple)
{
    struct travelled it;
    struct pcn_arena *arena = family_arena();
    if (!arena || read_travelled(tuple, &it) < 0)
        return -1;
    const char *error = handle->kind ? "this object stands for a shared one already" : NULL;
    if (it.arena != family_number())
        error = "this shared object belongs to another family of processes: it can only travel "
                "between processes that have been started from one another";
    if (error) {
        PyErr_SetString(PyExc_RuntimeError, error);
        return -1;
    }
    handle->kind = kind;
    handle->name = it.name;
    memcpy(handle->parameters, it.parameters, sizeof it.parameters);
    if (take_hold(arena, it.name, &handle->hold) < 0)
        return -1;
    pcn_object_unpin(arena, it.name, it.pin);
    if (make_known(handle) < 0) {
        pcn_object_release(arena, handle->hold);
        return -1;
    }
    link_in(handle, arena);
    return 0;
}

PyObject *handle_on(PyObject *type, struct pcn_name name, uint64_t parameter)
{
    struct handle *handle = in_use(name);
    if (handle && (PyObject *)Py_TYPE((PyObject *)handle) == type && handle->bound == family.me)
        return Py_NewRef((PyObject *)handle);
    const struct handle stand_in = {.name = name, .parameters = {parameter}};
    PyObject *tuple = name_with(&stand_in, PCN_NO_RECORD);
    PyObject *made = tuple ? PyObject_CallMethod(type, "__new__", "O", type) : NULL;
    PyObject *done = made ? PyObject_CallMethod(made, "_arrive", "(O)", tuple) : NULL;
    if (!done)
        Py_CLEAR(made);
    Py_XDECREF(done);
    Py_XDECREF(tuple);
    return made;
}

/* arrive(type, travelled): the handle that this process has on it already, or a new one. */
static PyObject *arrive(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *type, *tuple;
    struct travelled it;
    if (!PyArg_ParseTuple(args, "O!O!", &PyType_Type, &type, &PyTuple_Type, &tuple) ||
        read_travelled(tuple, &it) < 0)
        return NULL;
    struct pcn_arena *arena = family_arena();
    if (!arena)
        return NULL;
    struct handle *handle = it.arena == family_number() ? in_use(it.name) : NULL;
    if (handle && (PyObject *)Py_TYPE((PyObject *)handle) == type && handle->bound == arena->me) {
        pcn_object_unpin(arena, it.name, it.pin);
        return Py_NewRef((PyObject *)handle);
    }
    PyObject *made = PyObject_CallMethod(type, "__new__", "O", type);
    if (!made)
        return NULL;
    PyObject *done = PyObject_CallMethod(made, "_arrive", "(O)", tuple);
    if (!done)
        Py_CLEAR(made);
    Py_XDECREF(done);
    return made;
}

uint64_t this_thread(void)
{
    return (uint64_t)PyThread_get_thread_ident();
}

PyObject *raise_owner_died(struct handle *handle, pcn_token dead)
{
    const struct pcn_arena *arena = family_arena();
    PyObject *module = arena ? PyImport_ImportModule("procession.errors.sync") : NULL;
    PyObject *kind = module ? PyObject_GetAttrString(module, "OwnerDied") : NULL;
    PyObject *error = NULL;
    if (kind) {
        uint32_t found = pcn_hold_find(arena, handle->name, dead);
        const struct pcn_hold *hold =
            found == PCN_NO_RECORD ? NULL : pcn_hold_at(arena, found);
        char name[PCN_NAME_ROOM] = "", place[PCN_PLACE_ROOM];
        if (hold)
            pcn_hold_whose(arena, hold, name);
        snprintf(place, sizeof place, "%.*s", (int)sizeof place - 1, hold ? hold->place : "");
        PyObject *who = PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), "replace");
        PyObject *where = PyUnicode_DecodeUTF8(place, (Py_ssize_t)strlen(place), "replace");
        PyObject *what = PyType_GetName(Py_TYPE((PyObject *)handle));
        if (who && where && what)
            error = PyObject_CallFunction(kind, "OIOO", what,
                                          hold ? pcn_load_relaxed32(&hold->pid) : 0u, who, where);
        Py_XDECREF(what);
        Py_XDECREF(who);
        Py_XDECREF(where);
    }
    if (error)
        PyErr_SetObject(kind, error);
    Py_XDECREF(error);
    Py_XDECREF(kind);
    Py_XDECREF(module);
    return NULL;
}

PyMethodDef object_methods[] = {
    {"arrive", arrive, METH_VARARGS,
     "arrive(type, travelled): the handle on what travelled that this process has already, or a "
     "new one."},
    {"pins_made", pins_made, METH_NOARGS,
     "pins_made(): how many handles this process has pickled; see withdraw_pins()."},
    {"withdraw_pins", withdraw_pins, METH_O,
     "withdraw_pins(since): what this thread has pickled since pins_made() said so is not going "
     "to arrive."},
    {"call_unsent", call_unsent, METH_VARARGS,
     "call_unsent(function, *args): a call that pickles for a road that _entrust()s it before it "
     "is published: until then it ends with this process."},
    {"forget_pins", forget_pins, METH_O,
     "forget_pins(since): what this thread has pickled since pins_made() said so has been sent."},
    {NULL, NULL, 0, NULL},
};
