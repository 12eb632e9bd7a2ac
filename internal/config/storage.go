package config

import "strings"

// developmentStorage asks for Azurite on this machine. Unlike the host's SDK,
// the Go SDK does not know the word.
const developmentStorage = "UseDevelopmentStorage=true"

// azurite is the connection string that the word stands for. Account and key
// are the same in every Azurite of the world, so they are no secret.
const azurite = "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;" +
	"AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;" +
	"BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;" +
	"QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;TableEndpoint=http://127.0.0.1:10002/devstoreaccount1;"

// storage finds the account for our state: the one of TANDEM_STORAGE, or else
// the Functions host's, by connection string before identity as the host does.
func (l *loader) storage(s settings) Storage {
	identity := s.Host.ClientID
	if identity == "" {
		identity = s.Config.ClientID
	}
	switch h := s.Host; {
	case l.wrong["TANDEM_STORAGE"] || l.wrong["AzureWebJobsStorage"] || l.wrong["AzureWebJobsStorage__accountName"]:
		return Storage{}
	case s.Config.Storage.Connection != "":
		return Storage{Connection: l.connection("TANDEM_STORAGE", s.Config.Storage.Connection), Backups: s.Config.Backups}
	case h.Connection != "":
		return Storage{Connection: l.connection("AzureWebJobsStorage", h.Connection), Backups: s.Config.Backups}
	case h.AccountName == "" && h.TableURL == "" && h.QueueURL == "":
		l.mistake("TANDEM_STORAGE", "unset", "a connection string, or the host's storage in AzureWebJobsStorage or AzureWebJobsStorage__accountName")
		return Storage{}
	default:
		return Storage{
			TableURL: l.endpoint("AzureWebJobsStorage__tableServiceUri", h.TableURL, "table", s),
			QueueURL: l.endpoint("AzureWebJobsStorage__queueServiceUri", h.QueueURL, "queue", s),
			Backups:  l.backups(s),
			ClientID: identity,
		}
	}
}

// connection checks a connection string as far as possible without repeating
// any of it, and puts what the Go SDK does not know into full.
func (l *loader) connection(setting string, text Secret) Secret {
	parts := make(map[string]bool)
	for part := range strings.SplitSeq(text.Reveal(), ";") {
		name, value, _ := strings.Cut(part, "=")
		parts[strings.ToLower(strings.TrimSpace(name))] = value != ""
	}
	switch {
	case strings.EqualFold(strings.TrimSuffix(text.Reveal(), ";"), developmentStorage):
		return azurite
	case parts["accountname"] && parts["accountkey"], parts["sharedaccesssignature"]:
		return text
	default:
		l.mistake(setting, redacted, "a connection string with AccountName and AccountKey, or with SharedAccessSignature, or "+developmentStorage)
		return ""
	}
}

// endpoint returns the address of one of the account's services: the one that
// is set, or the usual one of the account in its cloud.
func (l *loader) endpoint(setting, set, service string, s settings) string {
	suffix := s.Config.Cloud.storageSuffix()
	switch {
	case set != "":
		return strings.TrimRight(set, "/")
	case s.Host.AccountName != "" && suffix != "":
		return "https://" + s.Host.AccountName + "." + service + "." + suffix
	case l.fine(setting, "TANDEM_CLOUD"):
		l.mistake(setting, "unset", "the address of the account's "+service+" service, because it does not follow from the other settings")
	}
	return ""
}

// backups returns the address of the container for backups in an account that is
// reached with an identity.
func (l *loader) backups(s settings) string {
	name := s.Config.Backups
	if name == "" || strings.Contains(name, "://") || !l.fine("TANDEM_BACKUPS") {
		return name
	}
	return l.endpoint("AzureWebJobsStorage__blobServiceUri", s.Host.BlobURL, "blob", s) + "/" + name
}
