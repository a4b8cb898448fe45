/*
 * Names of attachments and of members of archives, as the systems that they are opened on take
 * them (MIM-05): both are data of the sender, and rules match what would be opened.
 */
#ifndef ENGINE_NAMES_H
#define ENGINE_NAMES_H

#include "base/scan_report.h"

/*
 * The last part of a path, without the dots, blanks and slashes behind it, which are no part of
 * a name where it is opened. Of one that is too long the end is kept: it says what opens it.
 */
struct slice plain_name(struct slice name);

#endif
