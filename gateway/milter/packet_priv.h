/*
 * Packets of the milter protocol, their insides: what is read here was whole when it came, and
 * nothing in it is believed. A function that returns `const char *` says what is wrong, or
 * NULL.
 */
#ifndef MILTER_PACKET_PRIV_H
#define MILTER_PACKET_PRIV_H

#include "milter/milter.h"

enum {
	MILTER_LENGTH_BYTES = 4,
	/* macros of one step: names and values with their NULs */
	MILTER_MACRO_BYTES_MOST = 16 * 1024
};

uint32_t milter_get_u32(const char *p);
void milter_put_u32(uint32_t v, char out[4]);
/* The event that a command letter becomes; NONE: no command of an MTA, or macros ('D'). */
enum milter_event_type milter_packet_type(char command);
/*
 * Fills what ev->type has; slices point into data. args is the heap's and the caller's
 * (mem_free), also where something was wrong.
 */
const char *
milter_packet_read(struct slice data, struct milter_event *ev, struct slice **args_out);
/* Checks pairs of names and values: how many they are. */
const char *milter_macros_check(struct slice pairs, size_t *n_out);
/* What was checked, into n elements. */
void milter_macros_read(struct slice pairs, struct milter_macro *macros, size_t n);

#endif
