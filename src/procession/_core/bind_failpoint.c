#include "binding.h"

#include "failpoint.h"

static PyObject *arm(PyObject *module, PyObject *number)
{
    (void)module;
    unsigned long long target = PyLong_AsUnsignedLongLong(number);
    if (PyErr_Occurred())
        return NULL;
    if (pcn_failpoint_arm(target) != 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "fail points are not compiled in: build with PROCESSION_FAILPOINTS=1");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *passed(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    return Py_BuildValue("(Ks)", (unsigned long long)pcn_failpoint_passed(),
                         pcn_failpoint_last());
}

PyMethodDef failpoint_methods[] = {
    {"failpoint_arm", arm, METH_O,
     "failpoint_arm(number): SIGKILL this process at the number-th fail point from now."},
    {"failpoint_passed", passed, METH_NOARGS,
     "failpoint_passed(): how many fail points this process passed, and the last one's name."},
    {NULL, NULL, 0, NULL},
};
