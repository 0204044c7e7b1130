/* cli/skill_text: the SKILL.md that `tug skills` installs. */
#ifndef TUG_CLI_SKILL_TEXT_H
#define TUG_CLI_SKILL_TEXT_H

#include <stddef.h>

extern const char skill_text[];
extern const size_t skill_text_bytes;

#endif
