/* cli/ui/attach: files that a message names: `@notes.txt` becomes the file's text, and the path of a picture becomes a
 * picture.
 *
 * Text: @PATH, @"PATH WITH SPACES", @'…' at the start of a word; a file that is not there stays as it was written.
 * Pictures: a word or a quoted part that ends with .jpg, .jpeg, .png or .webp, begins with / or ./ (or is quoted), and
 * exists; it leaves the text and goes first. Only for what a person typed: text from a pipe names no files.
 * *ret_content is OpenAI's `content`: a string, or an array of parts. Errors: a file above ATTACH_BYTES_MAX, one that
 * cannot be read, text that is not UTF-8.
 */
#ifndef TUG_CLI_UI_ATTACH_H
#define TUG_CLI_UI_ATTACH_H

#include "base/err.h"

#include <jansson.h>

enum { ATTACH_BYTES_MAX = 16 * 1024 * 1024 };

bool attach_content(const char *text, json_t **ret_content, struct err *err);

#endif
