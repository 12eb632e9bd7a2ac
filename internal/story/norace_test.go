//go:build !race

package story

import "time"

// oneOf is how many plays of a kind there are for each that is played.
const oneOf = 1

// longest is the longest story that is played.
const longest = 48 * time.Hour

// watched is how TestStories plays a story.
var watched = play
