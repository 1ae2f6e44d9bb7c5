// HTTPS by Go's net/http, on either side.
//
//	tls serve CERT KEY PORT                 answers everything with "inside"
//	tls get URL COUNT LANES [GATE]          gets URL/item-N, LANES at once; with a gate each lane first gets /before,
//	                                        writes GATE/open and waits for GATE/go
//	tls put HOST:PORT COUNT LANES           the same on a connection for each, a request and 100,000 bytes in one write,
//	                                        which has to shake hands first for every other one
package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const body = 100000

func main() {
	if os.Args[1] == "serve" {
		serve(os.Args[2], os.Args[3], os.Args[4])
	} else if os.Args[1] == "put" {
		put(os.Args[2], os.Args[3], os.Args[4])
	} else {
		get(os.Args[2:])
	}
}

func serve(certificate, key, port string) {
	inside := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "inside")
	}
	log.Fatal(http.ListenAndServeTLS("127.0.0.1:"+port, certificate, key, http.HandlerFunc(inside)))
}

func get(arguments []string) {
	url := arguments[0]
	count, _ := strconv.Atoi(arguments[1])
	lanes, _ := strconv.Atoi(arguments[2])
	each := func(work func(lane int)) { together(lanes, work) }
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2:   os.Getenv("HTTP2") != "",
		MaxIdleConnsPerHost: lanes,
	}}
	ask := func(path string) {
		response, err := client.Get(url + path)
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || string(body) != "inside" {
			log.Fatal(path, string(body), err)
		}
	}
	if len(arguments) > 3 {
		gate := arguments[3]
		each(func(int) { ask("/before") })
		os.WriteFile(gate+"/open", nil, 0o644)
		for {
			if _, err := os.Stat(gate + "/go"); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	if start := os.Getenv("START"); start != "" {
		fmt.Println("waiting")
		for {
			if _, err := os.Stat(start); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	// Larger programs have not begun by then.
	time.Sleep(time.Second)
	each(func(lane int) {
		for number := lane; number < count; number += lanes {
			ask(fmt.Sprintf("/item-%d", number))
		}
	})
}

func put(address, requests, width string) {
	count, _ := strconv.Atoi(requests)
	lanes, _ := strconv.Atoi(width)
	// The agent has found this program by then.
	time.Sleep(time.Second)
	together(lanes, func(lane int) {
		for number := lane; number < count; number += lanes {
			if err := putOne(address, number); err != nil {
				log.Fatal(number, err)
			}
		}
	})
}

func putOne(address string, number int) error {
	plain, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	conn := tls.Client(plain, &tls.Config{InsecureSkipVerify: true})
	defer conn.Close()
	if number%2 == 0 {
		if err := conn.Handshake(); err != nil {
			return err
		}
	}
	head := fmt.Sprintf("GET /item-%d HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", number, address, body)
	if _, err := io.WriteString(conn, head+strings.Repeat("x", body)); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(response.Body)
	if err == nil && string(answer) != "inside" {
		err = fmt.Errorf("not inside: %q", answer)
	}
	return err
}

// Does `lanes` things at the same time.
func together(lanes int, work func(lane int)) {
	var all sync.WaitGroup
	for lane := 0; lane < lanes; lane++ {
		all.Add(1)
		go func(lane int) {
			defer all.Done()
			work(lane)
		}(lane)
	}
	all.Wait()
}
