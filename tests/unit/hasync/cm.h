/*
 * What cmocka.h wants in front of it.
 */
#ifndef TESTS_UNIT_HASYNC_CM_H
#define TESTS_UNIT_HASYNC_CM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#endif
