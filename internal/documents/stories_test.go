package documents

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"tandem/internal/config"
	"tandem/internal/lab"
	"tandem/internal/manifest"
	"tandem/internal/pair"
)

// aspect is a closed set of which the stories have to show every member.
type aspect struct {
	name  string            // of one member, in docs/failure-modes.md
	all   []string          // the members
	shown map[string]string // and a story that shows each
}

// TestEverythingHasItsStory demands that some story shows each row of the
// decision table, each situation, each cause of blindness and each choice that a
// setting gives, unless docs/failure-modes.md says why none does and what tests it
// instead.
//
// What a story shows is what it demands of itself under expect: and in its looks.
// A story in which that does not happen fails, so nothing is played here.
func TestEverythingHasItsStory(t *testing.T) {
	stories, err := lab.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	excused := excuses(t)
	for _, a := range []aspect{rows(stories), situations(stories), blindness(stories), settings(t, stories)} {
		if len(a.all) == 0 {
			t.Errorf("no %s is known, so the test sees nothing", a.name)
		}
		for _, word := range a.all {
			key := a.name + " " + word
			switch story := a.shown[word]; {
			case excused[key] && story != "":
				t.Errorf("%s says that no story shows the %s %s, and %s does", failureModes, a.name, word, story)
			case !excused[key] && story == "":
				t.Errorf("no story shows the %s %s; give it one, or say in %s why not", a.name, word, failureModes)
			}
			delete(excused, key)
		}
	}
	for key := range excused {
		t.Errorf("%s says that no story shows the %s, which is none", failureModes, key)
	}
}

// rows are shown by the decisions that a story wants.
func rows(stories []lab.Scenario) aspect {
	a := aspect{"row", nil, map[string]string{}}
	for _, r := range pair.Rows() {
		a.all = append(a.all, r.Name)
	}
	for _, s := range stories {
		for _, row := range s.Expect.Decisions {
			a.shown[row] = s.Name
		}
	}
	return a
}

// situations are shown by the looks that want one believed.
func situations(stories []lab.Scenario) aspect {
	a := aspect{"situation", nil, map[string]string{}}
	for _, s := range pair.Situations {
		a.all = append(a.all, s.String())
	}
	for _, s := range stories {
		for _, st := range s.Steps {
			if st.Expect != nil {
				a.shown[st.Expect.Situation] = s.Name
			}
		}
	}
	return a
}

// blindness is shown by the causes of it that a story wants.
func blindness(stories []lab.Scenario) aspect {
	a := aspect{"cause of blindness", nil, map[string]string{}}
	for _, c := range pair.BlindCauses {
		a.all = append(a.all, c.String())
	}
	for _, s := range stories {
		for _, cause := range s.Expect.Blind {
			a.shown[cause] = s.Name
		}
	}
	return a
}

// choice is a setting on which decisions depend: its path in the pair file, and
// the words that it may have, or else its default.
type choice struct {
	path  string
	words []string
	usual string
}

// settings are shown by the stories that have them: of a choice between words each
// word, of any other setting another value than the default.
func settings(t *testing.T, stories []lab.Scenario) aspect {
	t.Helper()
	a := aspect{"setting", nil, map[string]string{}}
	choices := choicesOfPairs(t)
	for _, c := range choices {
		for _, word := range c.words {
			a.all = append(a.all, c.path+": "+word)
		}
		if len(c.words) == 0 {
			a.all = append(a.all, c.path)
		}
	}
	for _, s := range stories {
		for _, file := range pairFiles(t, s) {
			for _, c := range choices {
				value := valueAt(file, c)
				switch {
				case len(c.words) > 0:
					a.shown[c.path+": "+value] = s.Name
				case value != c.usual:
					a.shown[c.path] = s.Name
				}
			}
		}
	}
	name, words := maxMode(t)
	for _, word := range words {
		a.all = append(a.all, name+": "+word)
	}
	for _, s := range stories {
		a.shown[name+": "+s.MaxMode] = s.Name
	}
	return a
}

// maxMode is the one setting of the app on which decisions depend, and its words
// but for the last one, which lowers nothing.
func maxMode(t *testing.T) (name string, words []string) {
	t.Helper()
	field, found := reflect.TypeFor[config.Config]().FieldByName("MaxMode")
	words = strings.Fields(field.Tag.Get("words"))
	if !found || len(words) < 2 {
		t.Fatal("the app's settings have no MaxMode with several words")
	}
	return field.Tag.Get("setting"), words[:len(words)-1]
}

// choicesOfPairs are the settings of a pair file on which decisions depend, by its
// schema.
func choicesOfPairs(t *testing.T) []choice {
	t.Helper()
	type property struct {
		Ref     string `json:"$ref"`
		Enum    []string
		Default any
	}
	type object struct{ Properties map[string]property }
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	b, err := manifest.Schema()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	var all []choice
	add := func(path string, p property) {
		c := choice{path: path, usual: fmt.Sprint(p.Default)}
		for _, word := range p.Enum {
			if word != "master" && word != "slave" { // the guide's words for first and second
				c.words = append(c.words, word)
			}
		}
		all = append(all, c)
	}
	add("mode", schema.Properties["mode"])
	for _, part := range []string{"ha", "failover"} {
		def := schema.Defs[strings.TrimPrefix(schema.Properties[part].Ref, "#/$defs/")]
		if len(def.Properties) == 0 {
			t.Fatalf("the schema of pair files has no %s", part)
		}
		for name, p := range def.Properties {
			add(part+"."+name, p)
		}
	}
	slices.SortFunc(all, func(a, b choice) int { return strings.Compare(a.path, b.path) })
	return all
}

// pairFiles are the pair files that a story's pair has, one after the other.
func pairFiles(t *testing.T, s lab.Scenario) []map[string]any {
	t.Helper()
	file, err := s.PairFile(nil)
	if err != nil {
		t.Fatal(err)
	}
	texts := [][]byte{file}
	for _, st := range s.Steps {
		if st.Do != "apply" || st.Unit != "" {
			continue
		}
		if file, err = lab.ChangedPairFile(file, st.Set); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, file)
	}
	var all []map[string]any
	for _, text := range texts {
		var doc map[string]any
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		all = append(all, doc)
	}
	return all
}

// valueAt is what a pair file says of a setting, or the default.
func valueAt(file map[string]any, c choice) string {
	var at any = file
	for name := range strings.SplitSeq(c.path, ".") {
		part, _ := at.(map[string]any)
		at = part[name]
	}
	if at == nil {
		return c.usual
	}
	return fmt.Sprint(at)
}

var excuseForm = regexp.MustCompile("^\\| (row|situation|cause of blindness|setting) `([^`]+)` \\| ([^|]+) \\| .*\\[`Test\\w+`\\]\\(.*\\) \\|$")

// excuses are the members of which docs/failure-modes.md says why no story shows
// them, and what tests them.
func excuses(t *testing.T) map[string]bool {
	t.Helper()
	_, part, _ := between(t, failureModes, read(t, failureModes), "untold")
	all := map[string]bool{}
	for line := range strings.Lines(part) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || underline.MatchString(line) || strings.HasPrefix(line, "| What |") {
			continue
		}
		m := excuseForm.FindStringSubmatch(line)
		switch {
		case m == nil:
			t.Errorf("%s: expected what it is, why no story shows it, and a link to a test: %s", failureModes, line)
		case all[m[1]+" "+m[2]]:
			t.Errorf("%s says twice why no story shows the %s %s", failureModes, m[1], m[2])
		default:
			all[m[1]+" "+m[2]] = true
		}
	}
	return all
}

// TestEveryRowIsToldWhereItsStoryIs demands that each row of the decision table
// which a story shows is named in a line of docs/failure-modes.md that leads to
// such a story: whoever meets the row finds what it is about, and can watch it.
func TestEveryRowIsToldWhereItsStoryIs(t *testing.T) {
	stories, err := lab.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	decided := map[string][]string{}
	for _, s := range stories {
		decided[s.Name] = s.Expect.Decisions
	}
	_, part, _ := between(t, failureModes, read(t, failureModes), "failures")
	told := map[string]bool{}
	for line := range strings.Lines(part) {
		var named []string
		for _, m := range quoted.FindAllStringSubmatch(line, -1) {
			named = append(named, m[1])
		}
		for _, m := range storyLinks.FindAllStringSubmatch(line, -1) {
			for _, row := range decided[m[1]] {
				told[row] = told[row] || slices.Contains(named, row)
			}
		}
	}
	a := rows(stories)
	for _, row := range a.all {
		if story := a.shown[row]; story != "" && !told[row] {
			t.Errorf("%s: no line names the row %s and leads to a story that shows it, such as %s", failureModes, row, story)
		}
	}
}

var storyLinks = regexp.MustCompile(`\]\(\.\./internal/lab/scenarios/([a-z0-9-]+)\.yaml\)`)

// TestStoriesNameRowsThatThereAre: what can never win is no promise.
func TestStoriesNameRowsThatThereAre(t *testing.T) {
	stories, err := lab.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	known := rows(stories).all
	for _, s := range stories {
		for _, row := range slices.Concat(s.Expect.Decisions, s.Expect.Never) {
			if !slices.Contains(known, row) {
				t.Errorf("story %s names the row %s, which is none", s.Name, row)
			}
		}
	}
}
