use proptest::prelude::*;

use crate::series::Entity;
use crate::source::prometheus::decode::Decoded;
use crate::source::prometheus::decode::decode;

fn ok(data: &str) -> Decoded {
    decode(200, format!(r#"{{"status":"success","data":{data}}}"#).as_bytes()).unwrap()
}

/// Reason and text of the error that a body is.
fn error(status: u16, body: &str) -> (&'static str, String) {
    let error = decode(status, body.as_bytes()).unwrap_err();
    (error.reason(), error.to_string())
}

#[test]
fn a_matrix_keeps_times_and_odd_values_and_drops_the_name() {
    let decoded = ok(r#"{"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"a"},
        "values":[[1,"1.5"],[2.5,"NaN"],[3,"+Inf"],[4,"-Inf"],[5,"1e+06"]]}]}"#);
    let (labels, samples) = &decoded.series[0];
    assert_eq!(labels, &Entity::new([("job", "a")]));
    assert_eq!(samples[0], (1.0, 1.5));
    assert!(samples[1].0 == 2.5 && samples[1].1.is_nan());
    assert_eq!(samples[2..], [(3.0, f64::INFINITY), (4.0, f64::NEG_INFINITY), (5.0, 1e6)]);
}

#[test]
fn a_vector_a_scalar_and_nothing() {
    let vector = ok(r#"{"result":[{"metric":{},"value":[1.1,"2"]}],"resultType":"vector"}"#);
    assert_eq!(vector.series, [(Entity::default(), vec![(1.1, 2.0)])]);
    let scalar = ok(r#"{"resultType":"scalar","result":[7,"3"]}"#);
    assert_eq!(scalar.series, [(Entity::default(), vec![(7.0, 3.0)])]);
    assert_eq!(ok(r#"{"resultType":"matrix","result":[]}"#), Decoded::default());
}

#[test]
fn escaped_labels_are_read() {
    let decoded =
        ok(r#"{"resultType":"vector","result":[{"metric":{"a":"\u00e4\"\n"},"value":[1,"2"]}]}"#);
    assert_eq!(decoded.series[0].0.get("a"), Some("ä\"\n"));
}

#[test]
fn a_string_is_refused() {
    let body = r#"{"status":"success","data":{"resultType":"string","result":[1,"abc"]}}"#;
    assert_eq!(error(200, body), ("bad_query", "the result is a string, wanted numbers".into()));
}

#[test]
fn native_histograms_are_named_never_dropped() {
    let instant = r#"{"metric":{"__name__":"h","a":"b"},"histogram":[1.5,{"count":"3"}]}"#;
    let mixed = r#"{"metric":{},"values":[[1,"2"]],"histograms":[[1.5,{"count":"3"}]]}"#;
    for (kind, element) in [("vector", instant), ("matrix", mixed)] {
        let (reason, text) = error(
            200,
            &format!(
                r#"{{"status":"success","isPartial":true,
                     "data":{{"resultType":"{kind}","result":[{element}]}}}}"#
            ),
        );
        assert_eq!(reason, "native_histogram");
        assert!(text.contains("histogram_quantile"), "{text}");
    }
}

#[test]
fn storage_warnings_mean_partial_and_promql_remarks_do_not() {
    let body = |extra: &str| {
        let text = format!(
            r#"{{"status":"success",{extra},"data":{{"resultType":"vector","result":[]}}}}"#
        );
        let decoded = decode(200, text.as_bytes()).unwrap();
        (decoded.partial, decoded.warnings)
    };
    let thanos = "fetch series for {replica=\"a\"}: rpc error: code = Unavailable";
    let quoted = serde_json::to_string(thanos).unwrap();
    assert_eq!(
        body(&format!(r#""warnings":[{quoted}]"#)),
        (Some(thanos.to_string()), vec![thanos.to_string()])
    );
    let info = "PromQL info: metric might not be a counter".to_string();
    assert_eq!(body(&format!(r#""infos":["{info}"]"#)), (None, vec![info.clone()]));
    assert_eq!(body(&format!(r#""warnings":["{info}"]"#)), (None, vec![info]));
    assert_eq!(body(r#""warnings":null,"isPartial":false"#), (None, vec![]));
    assert!(body(r#""isPartial":true"#).0.unwrap().contains("partial"));
}

#[test]
fn every_servers_errors_keep_their_reason_and_text() {
    let cases = [
        (400, "bad_data", "1:2: parse error: x", "bad_query"),
        (422, "execution", "found duplicate series", "bad_query"),
        (422, "422", "error when executing query: unknown func", "bad_query"), // VictoriaMetrics
        (429, "too_many_requests", "rate limit", "rate_limited"),              // Mimir
        (503, "timeout", "query timed out in expression evaluation", "timeout"),
        (503, "unavailable", "TSDB not ready", "unavailable"),
        (500, "internal", "boom", "http_status"),
        (400, "bad_data", "exceeded maximum resolution of 11,000 points", "too_many_points"),
        (422, "execution", "query processing would load too many samples", "too_many_points"),
        (422, "422", "too many points for the given step", "too_many_points"),
    ];
    for (status, kind, text, wanted) in cases {
        let body = format!(r#"{{"status":"error","errorType":"{kind}","error":"{text}"}}"#);
        let (reason, message) = error(status, &body);
        assert_eq!(reason, wanted, "{message}");
        assert_eq!(message, format!("HTTP {status}, {kind}: {text}"));
    }
}

#[test]
fn foreign_bodies_are_quoted_on_one_line() {
    assert_eq!(
        error(502, "Bad\r\n  Gateway"),
        ("unavailable", "HTTP 502, \"Bad Gateway\"; wanted an answer".into())
    );
    assert_eq!(error(401, "Unauthorized").0, "http_status");
    assert_eq!(error(429, "slow down").0, "rate_limited");
    assert_eq!(error(200, "<html>log in</html>").0, "decode");
    assert_eq!(error(200, r#"{"status":"success","data":{}}"#).0, "decode"); // VM's buildinfo
    assert!(error(200, &"x".repeat(10_000)).1.chars().count() < 300);
}

#[test]
fn a_value_that_is_no_number_says_where() {
    let body = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1 apple"]}}"#;
    let (reason, text) = error(200, body);
    assert_eq!(reason, "decode");
    assert!(text.contains("\"1 apple\"") && text.contains("column"), "{text}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(status in 200u16..600, body: Vec<u8>) {
        let _ = decode(status, &body);
    }

    #[test]
    fn a_broken_answer_never_panics(at in 0usize..140, byte: u8) {
        let mut body = br#"{"status":"success","isPartial":false,"data":{"resultType":"matrix",
            "result":[{"metric":{"a":"b"},"values":[[1.5,"2"],[3,"NaN"]]}]}}"#.to_vec();
        let at = at.min(body.len() - 1);
        body[at] = byte;
        let _ = decode(200, &body);
        let _ = decode(200, &body[..at]);
    }

    #[test]
    fn every_number_survives(value: f64, time in 0u32..) {
        let text = serde_json::json!({"status": "success", "data": {"resultType": "scalar",
            "result": [time, value.to_string()]}});
        let decoded = decode(200, text.to_string().as_bytes()).unwrap();
        let (time_s, read) = decoded.series[0].1[0];
        prop_assert_eq!(time_s, f64::from(time));
        prop_assert!(read == value || read.is_nan() && value.is_nan());
    }
}
