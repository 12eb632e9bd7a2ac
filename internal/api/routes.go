package api

import (
	"encoding/json"
	"net/http"
	"reflect"

	"tandem/internal/pair"
)

// endpoint is one request that the server answers. The routes and their
// description are made of the same list, so neither has what the other has not.
type endpoint struct {
	method, path string
	needs        Role
	serve        func(*http.Request) (any, error)

	id      string // names it for programs that are made from the description
	summary string
	takes   []string     // parameters besides those of the path
	body    reflect.Type // nil takes none
	answer  reflect.Type
}

// pairFile stands for the body of a definition, whose schema is internal/manifest's.
type pairFile struct{}

// document stands for the description itself.
type document struct{}

// routes are all endpoints.
func (s *server) routes() []endpoint {
	all := []endpoint{
		{"GET", "/api/openapi.json", RoleReader, s.describe, "describe", "This description.", nil, nil, reflect.TypeFor[document]()},
		{"GET", "/api/pairs", RoleReader, s.list, "listPairs", "What is believed of all pairs, 200 to a page.", []string{"after"}, nil, reflect.TypeFor[Pairs]()},
		{"GET", "/api/pairs/{pair}", RoleReader, s.show, "showPair", "What is believed of one pair.", nil, nil, reflect.TypeFor[Status]()},
		{"PUT", "/api/pairs/{pair}", RoleOperator, s.define, "definePair", "Define a pair by its file.", []string{"dryRun"}, reflect.TypeFor[pairFile](), reflect.TypeFor[Applied]()},
		{"GET", "/api/pairs/{pair}/plan", RoleReader, s.planPair, "planPair", "What would have to be written for the pair as it is defined.", nil, nil, reflect.TypeFor[Planned]()},
		{"POST", "/api/plan", RoleReader, s.planFile, "planFile", "What would have to be written for a pair file.", nil, reflect.TypeFor[pairFile](), reflect.TypeFor[Planned]()},
		{"GET", "/api/pairs/{pair}/journal", RoleReader, s.journal, "listEntries", "The pair's journal, newest first.", []string{"limit", "before"}, nil, reflect.TypeFor[Journal]()},
		{"GET", "/api/pairs/{pair}/journal/{id}", RoleReader, s.entry, "showEntry", "One entry of the journal.", nil, nil, reflect.TypeFor[pair.Entry]()},
		{"POST", "/api/stop", RoleOperator, s.stop, "stop", "Pause every pair, those that are defined later too.", []string{"dryRun"}, reflect.TypeFor[Ask](), reflect.TypeFor[Asked]()},
		{"POST", "/api/go", RoleOperator, s.start, "go", "End the pause of all pairs.", []string{"dryRun"}, reflect.TypeFor[Ask](), reflect.TypeFor[Asked]()},
		{"GET", "/api/jobs", RoleReader, s.allJobs, "listJobs", "The newest job of each pair that has one, of 200 pairs to a page.", []string{"after"}, nil, reflect.TypeFor[JobList]()},
		{"GET", "/api/pairs/{pair}/jobs", RoleReader, s.pairJob, "showJob", "The job of a pair that runs, or the last that ended.", nil, nil, reflect.TypeFor[JobList]()},
		{"POST", "/api/pairs/{pair}/jobs", RoleOperator, s.startJob, "startJob", "Start a job.", []string{"dryRun", keyHeader}, reflect.TypeFor[JobStart](), reflect.TypeFor[JobAsked]()},
		{"GET", "/api/pairs/{pair}/settings", RoleReader, s.settings, "showSettings", "How alike the settings of both units are, and what differs.", []string{"past"}, nil, reflect.TypeFor[Settings]()},
		{"POST", "/api/pairs/{pair}/settings/choices", RoleOperator, s.choose, "chooseSetting", "Say whose state of one thing is right, where both units changed it or a person is asked.", []string{"dryRun"}, reflect.TypeFor[ChooseAsk](), reflect.TypeFor[Chosen]()},
		{"GET", "/api/geo", RoleReader, s.listGeo, "listTopologies", "All GEO topologies, and how they stand.", nil, nil, reflect.TypeFor[GeoTopologies]()},
		{"GET", "/api/geo/{topology}", RoleReader, s.showGeo, "showTopology", "One GEO topology, and how it stands.", nil, nil, reflect.TypeFor[GeoTopology]()},
		{"PUT", "/api/geo/{topology}", RoleOperator, s.applyGeo, "applyTopology", "Bring a GEO topology about: the one in the file, or the one that was applied last once more.", []string{"dryRun"}, reflect.TypeFor[GeoAsk](), reflect.TypeFor[GeoTopology]()},
		{"GET", "/api/geo/{topology}/verify", RoleReader, s.verifyGeo, "verifyTopology", "Compare a GEO topology with what its units hold now.", nil, nil, reflect.TypeFor[GeoVerified]()},
		{"POST", "/api/geo/{topology}/cancel", RoleOperator, s.cancelGeo, "cancelTopology", "End the run of a GEO topology. What was written stays.", nil, reflect.TypeFor[GeoAsk](), reflect.TypeFor[GeoTopology]()},
		{"POST", "/api/geo/verify", RoleOperator, s.verifyGeoFile, "verifyTopologyFile", "Compare the GEO topology of a file with what its units hold now.", nil, reflect.TypeFor[GeoAsk](), reflect.TypeFor[GeoVerified]()},
		{"GET", "/api/pairs/{pair}/backups", RoleReader, s.backups, "listBackups", "The backups of a pair that are kept, and how they stand.", nil, nil, reflect.TypeFor[BackupList]()},
		{"POST", "/api/pairs/{pair}/restore", RoleOperator, s.restore, "restoreBackup", "Put parts of a backup on a unit.", []string{"dryRun", keyHeader}, reflect.TypeFor[RestoreAsk](), reflect.TypeFor[RestoreAsked]()},
	}
	for _, w := range wordsOfPairs {
		all = append(all, endpoint{
			"POST", "/api/pairs/{pair}/" + string(w.word), RoleOperator, s.say(w.word), string(w.word) + "Pair", w.summary,
			[]string{"dryRun"},
			reflect.TypeFor[Ask](), reflect.TypeFor[Asked](),
		})
	}
	for _, w := range wordsOfJobs {
		all = append(all, endpoint{
			"POST", "/api/pairs/{pair}/jobs/" + w.word, RoleOperator, s.sayJob(w.word), w.word + "Job", w.summary,
			[]string{"dryRun"},
			reflect.TypeFor[JobAsk](), reflect.TypeFor[JobAsked](),
		})
	}
	return all
}

// wordsOfPairs are the words about one pair, and what they do.
var wordsOfPairs = []struct {
	word    Word
	summary string
}{
	{Pause, "Watch and explain, do nothing; with a unit its maintenance."},
	{Resume, "End a pause or a maintenance."},
	{Approve, "Have exactly the plan carried out that waits."},
	{Ack, "Say that a person has looked: automatic moves are allowed again, and a job that failed raises no alarm any more."},
	{Prove, "Prove the lever, as mode auto needs."},
	{BackUp, "Take a backup of both units, or of one."},
	{Apply, "Write exactly one plan for load balancers, security group and interfaces."},
	{Remove, "Take back what is ours, then forget the pair."},
}

// wordsOfJobs are the words about a job, and what they do.
var wordsOfJobs = []struct{ word, summary string }{
	{pair.JobApprove, "Approve what the job announces and asks for."},
	{pair.JobPause, "Take back what of the job stands, and let it rest."},
	{pair.JobResume, "Let a job go on that rests."},
	{pair.JobCancel, "End a job and take back what it did, as long as the active state has not begun to move."},
}

// describe answers the description of the API.
func (s *server) describe(*http.Request) (any, error) {
	b, err := s.described()
	return json.RawMessage(b), err
}
